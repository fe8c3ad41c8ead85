/* A clock for counting instructions, preloaded into the server: each reading advances the time by 100 us. Work that
 * depends on elapsed time, such as that of a connection's first message in a tick, then depends on the number of
 * iterations, and not on how busy the machine is. */
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static long microseconds = 1000000000;

    (void)clock;
    microseconds += 100;
    now->tv_sec = microseconds / 1000000;
    now->tv_nsec = microseconds % 1000000 * 1000;
    return 0;
}
