import sys
import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe(sys.argv[2])
print(*(part.decode() for part in socket.recv_multipart()))
