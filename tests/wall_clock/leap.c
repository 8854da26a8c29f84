/* Loaded before the C library: the wall clock, and no other, is off by as many seconds as the file says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *leap;

__attribute__((constructor)) static void open_leap(void) {
    int file = open(getenv("WALL_CLOCK_LEAP"), O_RDONLY | O_CLOEXEC);
    void *there = mmap(NULL, sizeof *leap, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (there == MAP_FAILED) abort();
    leap = there;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME && leap) now->tv_sec += *leap;
    return (int)failed;
}
