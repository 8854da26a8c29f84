import sys
import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555")
socket.subscribe(sys.argv[2] if len(sys.argv) > 2 else "")
print(*(part.decode() for part in socket.recv_multipart()))
