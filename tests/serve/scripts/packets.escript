#!/usr/bin/env escript
%% Concurrent clients of an echo server with gen_tcp: one connection per process, each reply is verified.
%% Arguments: port; packet mode (1, 2, 4 or line); receive mode (active or passive); number of processes.
-mode(compile).

-define(TIMEOUT, 50000).
-define(LARGEST, 1048576).

main([PortText, PacketText, Receiving, CountText]) ->
    Port = list_to_integer(PortText),
    Packet = case PacketText of "line" -> line; Width -> list_to_integer(Width) end,
    Run = fun() -> exit(run(Port, Packet, Receiving)) end,
    Clients = [spawn_monitor(Run) || _ <- lists:seq(1, list_to_integer(CountText))],
    Echoes = [await(Client) || Client <- Clients],
    io:format("~p messages received~n", [lists:sum(Echoes)]).

await({Pid, Monitor}) ->
    receive
        {'DOWN', Monitor, process, Pid, {done, Echoes}} -> Echoes;
        {'DOWN', Monitor, process, Pid, Reason} ->
            io:format(standard_error, "~p~n", [Reason]),
            halt(1)
    end.

run(Port, Packet, Receiving) ->
    Options = [binary, {packet, Packet}, {active, false}, {buffer, 2 * ?LARGEST}, {nodelay, true}],
    {ok, Socket} = gen_tcp:connect("127.0.0.1", Port, Options, ?TIMEOUT),
    Messages = [message(Packet, Length) || Length <- lengths(Packet)],
    %% One message at a time, then many small messages before the first reply is read.
    lists:foreach(fun(Message) ->
        ok = gen_tcp:send(Socket, Message),
        ok = expect(Socket, Receiving, reply(Packet, Message))
    end, Messages),
    Small = [message(Packet, Length) || Length <- lists:seq(0, 200)],
    ok = gen_tcp:send(Socket, hd(Small)),
    [ok = gen_tcp:send(Socket, Message) || Message <- tl(Small)],
    [ok = expect(Socket, Receiving, reply(Packet, Message)) || Message <- Small],
    %% The server replies to FIN between messages with FIN.
    ok = gen_tcp:shutdown(Socket, write),
    {error, closed} = gen_tcp:recv(Socket, 0, ?TIMEOUT),
    {done, length(Messages) + length(Small)}.

lengths(1) -> [0, 1, 255];
lengths(2) -> [0, 1, 255, 65535];
lengths(_) -> [0, 1, 255, 65535, ?LARGEST].

%% In packet mode line, the message contains its newline, which the server does not count.
message(line, Length) -> <<(binary:copy(<<"l">>, Length))/binary, "\n">>;
message(_, Length) -> bytes(Length).

%% Varied bytes, without the crypto application, which erlang-base does not contain.
bytes(Length) ->
    << <<(I * 7 + I div 251)>> || I <- lists:seq(1, Length) >>.

reply(line, Message) -> <<"ECHO ", Message/binary>>;
reply(_, Message) -> Message.

expect(Socket, "passive", Reply) ->
    {ok, Received} = gen_tcp:recv(Socket, 0, ?TIMEOUT),
    compare(Received, Reply);
expect(Socket, "active", Reply) ->
    ok = inet:setopts(Socket, [{active, once}]),
    receive
        {tcp, Socket, Received} -> compare(Received, Reply);
        {tcp_closed, Socket} -> closed;
        {tcp_error, Socket, Reason} -> Reason
    after ?TIMEOUT -> timeout
    end.

compare(Reply, Reply) -> ok;
compare(Received, Reply) -> {received, byte_size(Received), expected, byte_size(Reply)}.
