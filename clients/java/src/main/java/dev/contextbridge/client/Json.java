package dev.contextbridge.client;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.util.List;
import java.util.Map;

/** JSON objects that upstream added, as texts. */
final class Json {
  private Json() {}

  static JsonObject parse(String text) {
    return text.isEmpty() ? new JsonObject() : JsonParser.parseString(text).getAsJsonObject();
  }

  /** Adds the members of one object to another; of a member in both the added one counts. */
  static void merge(JsonObject members, JsonObject later) {
    for (Map.Entry<String, com.google.gson.JsonElement> member : later.entrySet()) {
      members.add(member.getKey(), member.getValue());
    }
  }

  /**
   * Several objects as one; of a member in several the later counts. A lone text stays as it is.
   */
  static String merge(List<String> texts) {
    if (texts.size() <= 1) {
      return String.join("", texts);
    }
    JsonObject members = new JsonObject();
    for (String text : texts) {
      merge(members, parse(text));
    }
    return text(members);
  }

  /** An object's text; empty where it has no members. */
  static String text(JsonObject members) {
    return members.isEmpty() ? "" : members.toString();
  }
}
