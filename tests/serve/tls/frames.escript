#!/usr/bin/env escript
%% Concurrent clients with ssl and {packet, 2}; each reply is verified.
%% Arguments: port; file with the authority; version (tlsv1.2 or tlsv1.3); number of processes.
-mode(compile).

-define(TIMEOUT, 60000).

main([PortText, Authority, VersionText, CountText]) ->
    {ok, _} = application:ensure_all_started(ssl),
    Port = list_to_integer(PortText),
    Version = case VersionText of "tlsv1.2" -> 'tlsv1.2'; "tlsv1.3" -> 'tlsv1.3' end,
    Run = fun() -> exit(run(Port, Authority, Version)) end,
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

run(Port, Authority, Version) ->
    Options = [binary, {packet, 2}, {active, false}, {nodelay, true}, {versions, [Version]},
               {verify, verify_peer}, {cacertfile, Authority}, {server_name_indication, "localhost"}],
    {ok, Socket} = ssl:connect("localhost", Port, [inet | Options], ?TIMEOUT),
    Messages = [bytes(Length) || Length <- [0, 1, 255, 65535]],
    lists:foreach(fun(Message) ->
        ok = ssl:send(Socket, Message),
        {ok, Message} = ssl:recv(Socket, 0, ?TIMEOUT)
    end, Messages),
    Small = [bytes(Length) || Length <- lists:seq(0, 200)],
    [ok = ssl:send(Socket, Message) || Message <- Small],
    [{ok, Message} = ssl:recv(Socket, 0, ?TIMEOUT) || Message <- Small],
    ok = ssl:shutdown(Socket, write),
    {error, closed} = ssl:recv(Socket, 0, ?TIMEOUT),
    {done, length(Messages) + length(Small)}.

bytes(Length) ->
    << <<(I * 7 + I div 251)>> || I <- lists:seq(1, Length) >>.
