# Twenty connections in one thread with IO.select and write_nonblock in pieces of random sizes: each line sent must be
# echoed with its prefix. Argument: the port.
require "socket"
random = Random.new(11)
peers = Array.new(20) do |number|
  lines = Array.new(100) { |line| "#{number}.#{line} " + "x" * random.rand(3000) + ["\n", "\r\n"].sample(random: random) }
  { socket: TCPSocket.new("127.0.0.1", ARGV[0].to_i), rest: lines.join, received: +"", expected: lines.map { |line| "ECHO " + line }.join }
end
open = peers.dup
until open.empty?
  senders = open.reject { |peer| peer[:rest].nil? }
  readable, writable = IO.select(open.map { |peer| peer[:socket] }, senders.map { |peer| peer[:socket] }, nil, 15)
  abort "no progress within 15 s" if readable.nil?
  open.dup.each do |peer|
    socket = peer[:socket]
    if writable.include?(socket)
      piece = peer[:rest].byteslice(0, 1 + random.rand(5000))
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
      else peer[:received] << piece
      end
    end
  end
end
wrong = peers.count { |peer| peer[:received] != peer[:expected] }
abort "#{wrong} connections received wrong bytes" unless wrong.zero?
puts "all lines received"
