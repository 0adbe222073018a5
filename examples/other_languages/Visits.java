import java.net.Socket;

/** Counts a visit in Redis. A client library takes System.getenv("REDIS_URL") in place of this socket. */
public class Visits {
    public static void main(String[] arguments) throws Exception {
        var env = System.getenv();
        try (var socket = new Socket(env.get("REDIS_HOST"), Integer.parseInt(env.get("REDIS_PORT")))) {
            var commands = "AUTH " + env.get("REDIS_PASSWORD") + "\r\nINCR visits\r\nQUIT\r\n";
            socket.getOutputStream().write(commands.getBytes());
            var replies = new String(socket.getInputStream().readAllBytes());
            System.out.println("visits: " + replies.split(":")[1].split("\r")[0]);
        }
    }
}
