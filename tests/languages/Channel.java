// SPDX-License-Identifier: MIT
// usage: java Channel NODE SOCKET: a random access file, and a socket of manyport forward.
import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.Arrays;

public class Channel {
	static RandomAccessFile open(String node, String name) throws IOException {
		RandomAccessFile file = new RandomAccessFile(node, "rw");
		file.write(name.getBytes());
		return file;
	}

	static void check(boolean is, String what) {
		if (!is)
			throw new AssertionError(what);
	}

	public static void main(String[] args) throws Exception {
		byte[] bytes = new byte[100];

		try (RandomAccessFile channel = open(args[0], "echo")) {
			channel.write("PING\n".getBytes());
			int length = channel.read(bytes);
			check(Arrays.equals(Arrays.copyOf(bytes, length), "PING\n".getBytes()), "answer");
		}
		try {
			open(args[0], "nosuch");
			check(false, "a refused name is no error");
		} catch (IOException error) {
			check(error.getMessage().contains("No such file"), error.getMessage());
		}
		try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(args[1]))) {
			ByteBuffer data = ByteBuffer.allocate(100000), back = ByteBuffer.allocate(100000);
			for (int i = 0; i < 100000; i++)
				data.put((byte) i);
			data.flip();
			while (data.hasRemaining())
				channel.write(data);
			channel.shutdownOutput();
			while (channel.read(back) > 0)
				;
			check(Arrays.equals(data.array(), back.array()), "other bytes");
		}
	}
}
