package dev.contextbridge.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import dev.contextbridge.v1.Candidate;
import dev.contextbridge.v1.Content;
import dev.contextbridge.v1.GenerateContentResponse;
import dev.contextbridge.v1.Part;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Folds the messages of StreamGenerateContent. */
final class ContentFold extends Fold<GenerateContentResponse, GenerateContentResponse> {
  private final SortedMap<Integer, Grown> candidates = new TreeMap<>();
  private final Map<FieldDescriptor, Object> latest = new HashMap<>();
  private final List<String> extras = new ArrayList<>();

  @Override
  String lastEvent() {
    return "`billed_usage`";
  }

  @Override
  void add(GenerateContentResponse event) {
    reached(event.getSequence());
    if (event.hasBilledUsage()) {
      completed();
    }
    for (Candidate piece : event.getCandidatesList()) {
      candidates.computeIfAbsent(piece.getIndex(), added -> new Grown()).add(piece);
    }
    event
        .getAllFields()
        .forEach(
            (field, value) -> {
              switch (field.getNumber()) {
                case GenerateContentResponse.CANDIDATES_FIELD_NUMBER,
                    GenerateContentResponse.SEQUENCE_FIELD_NUMBER -> {}
                case GenerateContentResponse.EXTRA_JSON_FIELD_NUMBER ->
                    extras.add(event.getExtraJson());
                default -> latest.put(field, value);
              }
            });
  }

  @Override
  String text(GenerateContentResponse event, int index) {
    return Answers.textOf(event, index);
  }

  @Override
  GenerateContentResponse answer() {
    GenerateContentResponse.Builder answer =
        GenerateContentResponse.newBuilder().setExtraJson(Json.merge(extras));
    latest.forEach(answer::setField);
    candidates.values().forEach(candidate -> answer.addCandidates(candidate.build()));
    return answer.build();
  }

  /** One candidate, while it grows. */
  private static final class Grown {
    private final List<Run> runs = new ArrayList<>();
    private final Candidate.Builder lists = Candidate.newBuilder();
    private final Map<FieldDescriptor, Object> latest = new HashMap<>();
    private final List<String> extras = new ArrayList<>();
    private boolean hasContent;
    private String role = "";

    void add(Candidate piece) {
      // Lists of what each piece adds grow; whatever describes the whole so far is replaced. The
      // indices in grounding metadata point into its own lists, so it stays as one piece gave it.
      piece
          .getAllFields()
          .forEach(
              (field, value) -> {
                switch (field.getNumber()) {
                  case Candidate.CONTENT_FIELD_NUMBER -> add(piece.getContent());
                  case Candidate.CITATION_METADATA_FIELD_NUMBER ->
                      lists.mergeCitationMetadata(piece.getCitationMetadata());
                  case Candidate.LOGPROBS_RESULT_FIELD_NUMBER ->
                      lists.mergeLogprobsResult(piece.getLogprobsResult());
                  case Candidate.EXTRA_JSON_FIELD_NUMBER -> extras.add(piece.getExtraJson());
                  default -> latest.put(field, value);
                }
              });
    }

    private void add(Content content) {
      hasContent = true;
      role = content.getRole().isEmpty() ? role : content.getRole();
      for (Part part : content.getPartsList()) {
        Run newest = runs.isEmpty() ? null : runs.get(runs.size() - 1);
        if (newest != null && newest.isJoinedBy(part)) {
          newest.texts.add(part.getText());
        } else {
          runs.add(new Run(part));
        }
      }
    }

    Candidate build() {
      Candidate.Builder candidate = Candidate.newBuilder().setExtraJson(Json.merge(extras));
      latest.forEach(candidate::setField);
      if (hasContent) {
        candidate.setContent(
            Content.newBuilder().setRole(role).addAllParts(runs.stream().map(Run::build).toList()));
      }
      return candidate.mergeFrom(lists.build()).build();
    }
  }

  /** A part of a content, and the texts of all that join it. */
  private static final class Run {
    // The fields of parts that join. A signature belongs to the part that it came with.
    private static final Set<Set<Integer>> PLAIN_TEXT =
        Set.of(
            Set.of(Part.TEXT_FIELD_NUMBER),
            Set.of(Part.TEXT_FIELD_NUMBER, Part.THOUGHT_FIELD_NUMBER));

    private final Part part;
    private final Set<Integer> fields;
    private final List<String> texts = new ArrayList<>();

    Run(Part part) {
      this.part = part;
      fields = fieldsOf(part);
      texts.add(part.getText());
    }

    boolean isJoinedBy(Part next) {
      return PLAIN_TEXT.contains(fields) && fields.equals(fieldsOf(next));
    }

    Part build() {
      if (texts.size() == 1) {
        return part;
      }
      return Part.newBuilder()
          .setText(String.join("", texts))
          .setThought(part.getThought())
          .build();
    }

    private static Set<Integer> fieldsOf(Part part) {
      return part.getAllFields().keySet().stream()
          .map(FieldDescriptor::getNumber)
          .collect(Collectors.toSet());
    }
  }
}
