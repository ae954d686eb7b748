import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Text in, label out over REST. Java 11 or newer, nothing to install.
 *
 * <pre>
 *     flowformers serve my_model --model_name bert
 *     java RestClient.java "I love it."
 * </pre>
 *
 * <p>The JSON is read with a pattern to keep the example in one file; in a program, use your JSON library.
 */
public final class RestClient {
  private static final Pattern LABEL = Pattern.compile("\"label\"\\s*:\\s*\"((?:[^\"\\\\]|\\\\.)*)\"");
  private static final Pattern SCORE = Pattern.compile("\"score\"\\s*:\\s*([-+.\\deE]+)");

  public static void main(String[] arguments) throws Exception {
    String address = arguments.length > 1 ? arguments[1] : "http://localhost:8501";
    String model = arguments.length > 2 ? arguments[2] : "bert";
    String body = "{\"signature_name\": \"text\", \"instances\": [" + quoted(arguments[0]) + "]}";
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(address + "/v1/models/" + model + ":predict"))
            .timeout(Duration.ofSeconds(30))
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
    if (response.statusCode() != 200) {
      throw new IllegalStateException(response.statusCode() + ": " + response.body());
    }
    System.out.println(first(LABEL, response.body()) + "\t" + first(SCORE, response.body()));
  }

  private static String quoted(String text) {
    StringBuilder json = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') {
        json.append('\\').append(c);
      } else if (c < ' ') {
        json.append(String.format("\\u%04x", (int) c));
      } else {
        json.append(c);
      }
    }
    return json.append('"').toString();
  }

  private static String first(Pattern pattern, String text) {
    Matcher found = pattern.matcher(text);
    if (!found.find()) {
      throw new IllegalStateException("expected " + pattern + " in " + text);
    }
    return found.group(1);
  }
}
