// A peer of ZMTP 2.0: sockets of JeroMQ 0.3.6, for tests/python/zmtp_2_0.py. Prints what it receives, a line each.
import org.zeromq.ZMQ;

public class Zmtp2 {
    // Zmtp2 sub URL PREFIX COUNT | Zmtp2 pub URL TOPIC COUNT
    public static void main(String[] args) throws Exception {
        ZMQ.Context context = ZMQ.context(1);
        int count = Integer.parseInt(args[3]);
        if (args[0].equals("sub")) {
            ZMQ.Socket socket = context.socket(ZMQ.SUB);
            socket.subscribe(args[2].getBytes());
            socket.connect(args[1]);
            for (int n = 0; n < count; n++) {
                StringBuilder line = new StringBuilder(socket.recvStr());
                while (socket.hasReceiveMore()) {
                    line.append(' ').append(socket.recvStr());
                }
                System.out.println(line);
            }
        } else {
            ZMQ.Socket socket = context.socket(ZMQ.XPUB);
            socket.connect(args[1]);
            byte[] asked = socket.recv(0);
            System.out.println("asked " + asked[0] + new String(asked, 1, asked.length - 1));
            for (int n = 0; n < count; n++) {
                socket.sendMore(args[2]);
                socket.sendMore("");
                socket.send(Integer.toString(n));
            }
            // Until it is told to end: a socket that is closed may lose its last messages.
            System.in.read();
        }
        System.exit(0);
    }
}
