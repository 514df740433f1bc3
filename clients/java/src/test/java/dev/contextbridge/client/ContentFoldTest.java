package dev.contextbridge.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.contextbridge.v1.Candidate;
import dev.contextbridge.v1.CitationMetadata;
import dev.contextbridge.v1.CitationSource;
import dev.contextbridge.v1.Content;
import dev.contextbridge.v1.GenerateContentResponse;
import dev.contextbridge.v1.Part;
import dev.contextbridge.v1.Usage;
import dev.contextbridge.v1.UsageMetadata;
import java.util.List;
import org.junit.jupiter.api.Test;

class ContentFoldTest {
  private static final Part SIGNED = signed("a");

  private final ContentFold fold = new ContentFold();

  private GenerateContentResponse folded(GenerateContentResponse.Builder... pieces) {
    for (GenerateContentResponse.Builder piece : pieces) {
      fold.add(piece.build());
    }
    return fold.answer();
  }

  @Test
  void neighbouringPlainTextIsJoined() {
    GenerateContentResponse answer =
        folded(
            piece(thought("Hm, "), thought("well. ")),
            piece(text("At "), text("Oban")),
            piece(SIGNED, SIGNED),
            piece(text(".")));

    assertEquals(
        List.of(thought("Hm, well. "), text("At Oban"), SIGNED, SIGNED, text(".")),
        answer.getCandidates(0).getContent().getPartsList());
    assertEquals("model", answer.getCandidates(0).getContent().getRole());
    assertEquals("At Obanaa.", Answers.textOf(answer));
  }

  @Test
  void listsGrowAndTheRestIsReplaced() {
    GenerateContentResponse answer =
        folded(
            GenerateContentResponse.newBuilder()
                .setSequence(1)
                .setModelVersion("1")
                .setUsageMetadata(UsageMetadata.newBuilder().setPromptTokenCount(3))
                .addCandidates(cited("a").setTokenCount(1)),
            GenerateContentResponse.newBuilder()
                .setSequence(2)
                .setUsageMetadata(UsageMetadata.newBuilder().setTotalTokenCount(5))
                .addCandidates(
                    cited("b")
                        .setTokenCount(2)
                        .setFinishReason(Candidate.FinishReason.FINISH_REASON_STOP)));

    Candidate candidate = answer.getCandidates(0);
    assertEquals(
        List.of("a", "b"),
        candidate.getCitationMetadata().getCitationSourcesList().stream()
            .map(CitationSource::getUri)
            .toList());
    assertEquals(2, candidate.getTokenCount());
    assertEquals(Candidate.FinishReason.FINISH_REASON_STOP, candidate.getFinishReason());
    assertFalse(candidate.hasContent());
    assertEquals("1", answer.getModelVersion());
    assertEquals(
        UsageMetadata.newBuilder().setTotalTokenCount(5).build(), answer.getUsageMetadata());
    assertEquals(0, answer.getSequence());
    assertEquals(2, fold.sequence());
  }

  @Test
  void candidatesAreApart() {
    GenerateContentResponse answer =
        folded(
            GenerateContentResponse.newBuilder()
                .addCandidates(saying("b").setIndex(1))
                .addCandidates(saying("a")),
            GenerateContentResponse.newBuilder().addCandidates(saying("c").setIndex(1)));

    assertEquals("a", Answers.textOf(answer));
    assertEquals("bc", Answers.textOf(answer, 1));
  }

  @Test
  void aLoneExtraStaysAsItIsAndSeveralAreMerged() {
    GenerateContentResponse answer =
        folded(
            GenerateContentResponse.newBuilder()
                .setExtraJson("{ \"a\": 1, \"b\": 1 }")
                .addCandidates(Candidate.newBuilder().setExtraJson("{ \"c\": 1 }")),
            GenerateContentResponse.newBuilder().setExtraJson("{\"b\": \"灯台 <é>\"}"));

    assertEquals("{\"a\":1,\"b\":\"灯台 <é>\"}", answer.getExtraJson());
    assertEquals("{ \"c\": 1 }", answer.getCandidates(0).getExtraJson());
  }

  @Test
  void itIsCompleteWithWhatItCosts() {
    assertFalse(fold.isComplete());
    folded(GenerateContentResponse.newBuilder().setBilledUsage(Usage.getDefaultInstance()));
    assertTrue(fold.isComplete());
  }

  private static GenerateContentResponse.Builder piece(Part... parts) {
    Content content = Content.newBuilder().setRole("model").addAllParts(List.of(parts)).build();
    return GenerateContentResponse.newBuilder()
        .addCandidates(Candidate.newBuilder().setContent(content));
  }

  private static Candidate.Builder saying(String text) {
    return Candidate.newBuilder().setContent(Contents.model(text));
  }

  private static Candidate.Builder cited(String uri) {
    return Candidate.newBuilder()
        .setCitationMetadata(
            CitationMetadata.newBuilder()
                .addCitationSources(CitationSource.newBuilder().setUri(uri)));
  }

  private static Part text(String text) {
    return Part.newBuilder().setText(text).build();
  }

  private static Part thought(String text) {
    return Part.newBuilder().setText(text).setThought(true).build();
  }

  private static Part signed(String text) {
    return Part.newBuilder()
        .setText(text)
        .setThoughtSignature(ByteString.copyFromUtf8("signature"))
        .build();
  }
}
