#!/usr/bin/env escript
%% Many processes at once talk to an echo server with gen_tcp, each on a connection of its own, and compare what comes
%% back. Arguments: the port; the packet mode (1, 2, 4 or line); how to receive (active or passive); the processes.
-mode(compile).

-define(PATIENCE, 50000).
-define(LARGEST, 1048576).

main([PortText, PacketText, Receiving, CountText]) ->
    Port = list_to_integer(PortText),
    Packet = case PacketText of "line" -> line; Width -> list_to_integer(Width) end,
    Talk = fun() -> exit(talk(Port, Packet, Receiving)) end,
    Talkers = [spawn_monitor(Talk) || _ <- lists:seq(1, list_to_integer(CountText))],
    Echoes = [await(Talker) || Talker <- Talkers],
    io:format("~p messages came back~n", [lists:sum(Echoes)]).

await({Pid, Monitor}) ->
    receive
        {'DOWN', Monitor, process, Pid, {done, Echoes}} -> Echoes;
        {'DOWN', Monitor, process, Pid, Reason} ->
            io:format(standard_error, "~p~n", [Reason]),
            halt(1)
    end.

talk(Port, Packet, Receiving) ->
    Options = [binary, {packet, Packet}, {active, false}, {buffer, 2 * ?LARGEST}, {nodelay, true}],
    {ok, Socket} = gen_tcp:connect("127.0.0.1", Port, Options, ?PATIENCE),
    Messages = [message(Packet, Length) || Length <- lengths(Packet)],
    %% One at a time, and then many small ones before the first answer is read.
    lists:foreach(fun(Message) ->
        ok = gen_tcp:send(Socket, Message),
        ok = expect(Socket, Receiving, answer(Packet, Message))
    end, Messages),
    Small = [message(Packet, Length) || Length <- lists:seq(0, 200)],
    ok = gen_tcp:send(Socket, hd(Small)),
    [ok = gen_tcp:send(Socket, Message) || Message <- tl(Small)],
    [ok = expect(Socket, Receiving, answer(Packet, Message)) || Message <- Small],
    %% FIN between messages is answered by FIN.
    ok = gen_tcp:shutdown(Socket, write),
    {error, closed} = gen_tcp:recv(Socket, 0, ?PATIENCE),
    {done, length(Messages) + length(Small)}.

lengths(1) -> [0, 1, 255];
lengths(2) -> [0, 1, 255, 65535];
lengths(_) -> [0, 1, 255, 65535, ?LARGEST].

%% In packet mode line, a message is sent with its line end, which the server does not count.
message(line, Length) -> <<(binary:copy(<<"l">>, Length))/binary, "\n">>;
message(_, Length) -> bytes(Length).

%% Bytes that are not alike, without the crypto application, which erlang-base has not got.
bytes(Length) ->
    << <<(I * 7 + I div 251)>> || I <- lists:seq(1, Length) >>.

answer(line, Message) -> <<"ECHO ", Message/binary>>;
answer(_, Message) -> Message.

expect(Socket, "passive", Answer) ->
    {ok, Got} = gen_tcp:recv(Socket, 0, ?PATIENCE),
    compare(Got, Answer);
expect(Socket, "active", Answer) ->
    ok = inet:setopts(Socket, [{active, once}]),
    receive
        {tcp, Socket, Got} -> compare(Got, Answer);
        {tcp_closed, Socket} -> closed;
        {tcp_error, Socket, Reason} -> Reason
    after ?PATIENCE -> timeout
    end.

compare(Answer, Answer) -> ok;
compare(Got, Answer) -> {got, byte_size(Got), expected, byte_size(Answer)}.
