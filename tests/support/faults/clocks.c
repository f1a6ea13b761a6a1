/* Preloaded into a broker: the wall clock and the steady clock differ from the machine's by offsets in a file.

   CLOCKS names the file: two numbers of nanoseconds, for the wall clock and for CLOCK_BOOTTIME. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t NANOSECONDS = 1000000000;
static volatile const int64_t *offsets;

__attribute__((constructor)) static void map_offsets(void) {
    const char *path = getenv("CLOCKS");
    int descriptor = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *mapped;
    if (descriptor < 0)
        return;
    mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped != MAP_FAILED)
        offsets = mapped;
    close(descriptor);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int64_t offset = 0, total;
    if (syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (offsets != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        offset = offsets[0];
    else if (offsets != NULL && clock == CLOCK_BOOTTIME)
        offset = offsets[1];
    total = now->tv_sec * NANOSECONDS + now->tv_nsec + offset;
    now->tv_sec = total / NANOSECONDS;
    now->tv_nsec = total % NANOSECONDS;
    return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now != NULL)
        *now = exact.tv_sec;
    return exact.tv_sec;
}
