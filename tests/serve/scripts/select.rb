# Twenty connections in one thread, served with IO.select and write_nonblock in pieces of all sizes: lines go out, and
# must come back behind their prefix. Argument: the port.
require "socket"
chance = Random.new(11)
peers = Array.new(20) do |number|
  lines = Array.new(100) { |line| "#{number}.#{line} " + "x" * chance.rand(3000) + ["\n", "\r\n"].sample(random: chance) }
  { socket: TCPSocket.new("127.0.0.1", ARGV[0].to_i), rest: lines.join, got: +"", expected: lines.map { |line| "ECHO " + line }.join }
end
open = peers.dup
until open.empty?
  senders = open.reject { |peer| peer[:rest].nil? }
  readable, writable = IO.select(open.map { |peer| peer[:socket] }, senders.map { |peer| peer[:socket] }, nil, 15)
  abort "nothing moves" if readable.nil?
  open.dup.each do |peer|
    socket = peer[:socket]
    if writable.include?(socket)
      piece = peer[:rest].byteslice(0, 1 + chance.rand(5000))
      sent = socket.write_nonblock(piece, exception: false)
      peer[:rest] = peer[:rest].byteslice(sent..) unless sent == :wait_writable
      if peer[:rest].empty?
        socket.close_write
        peer[:rest] = nil
      end
    end
    if readable.include?(socket)
      case piece = socket.read_nonblock(65536, exception: false)
      when :wait_readable
      when nil then open.delete(peer)
      else peer[:got] << piece
      end
    end
  end
end
wrong = peers.count { |peer| peer[:got] != peer[:expected] }
abort "#{wrong} peers did not get back what they should" unless wrong.zero?
puts "all came back"
