/* Preloaded into a broker by tests: makes system calls on files fail, wait or kill the broker, and keeps what was
   fsynced, for power cuts.

   The rules are in a file that the test maps too (see shim.py). Each call reads them, so a change applies at once.
   shim_power.h keeps what was fsynced, shim_calls.h has the calls. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#undef fread_unlocked
#define REAL(f) ({ static __typeof__(f) *real; if (!real) real = dlsym(RTLD_NEXT, #f); real; })

enum { READ = 1, WRITE = 2, SYNC = 4, OPEN = 8, STATFS = 16, LOCK = 32, RENAME = 64, TRUNCATE = 128, UNLINK = 256,
       THREAD = 512, WRITTEN = 1024, SYNCED = 2048 };
enum { RULES = 32, FILES = 4096, KILL = -1, MILLION = 1000000 };

/* Without an error the call continues after `wait_ms`; the error KILL ends the process at once. The rule lets the
   first `skip` calls through, and, unless `most` is 0, all calls after it has applied to `most`. Of the others it
   applies to so many of a million as `parts` says, all of them if that is 0; `seed` decides to which. */
struct rule {
    int32_t active, calls, error, wait_ms;
    int64_t skip, most, seen;
    int32_t parts, seed;
    char pattern[208];
};

static struct rule *rules;
static const char *watched, *fsynced; /* the directory under test, and the directory for copies of fsynced files */
static size_t watched_length;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULT_RULES");
    int fd = path ? REAL(open)(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, RULES * sizeof *rules, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "shim: no rules\n");
        _exit(3);
    }
    close(fd);
    rules = mapped;
    watched = getenv("FAULT_WATCHED");
    fsynced = getenv("FAULT_FSYNCED");
    watched_length = watched ? strlen(watched) : 0;
}

static int is_asked_for(int call)
{
    for (int i = 0; rules && i < RULES; i++)
        if (__atomic_load_n(&rules[i].active, __ATOMIC_ACQUIRE) && rules[i].calls & call)
            return 1;
    return 0;
}

/* Whether a rule applies to its `number`th call: the same ones for one seed. */
static int is_chosen(const struct rule *rule, int64_t number)
{
    uint64_t mixed = (uint64_t)number * 0x9E3779B97F4A7C15u + (uint32_t)rule->seed * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 31)) * 0x94D049BB133111EBu;
    return !rule->parts || (mixed >> 20) % MILLION < (uint64_t)rule->parts;
}

/* Whether the call fails; errno says with what. A pattern with a slash is for whole paths. */
static int fails(int call, const char *path)
{
    const char *slash = strrchr(path, '/');
    for (int i = 0; rules && i < RULES; i++) {
        struct rule *rule = rules + i;
        if (!__atomic_load_n(&rule->active, __ATOMIC_ACQUIRE) || !(rule->calls & call))
            continue;
        if (fnmatch(rule->pattern, strchr(rule->pattern, '/') || !slash ? path : slash + 1, 0))
            continue;
        int64_t before = __atomic_fetch_add(&rule->seen, 1, __ATOMIC_RELAXED);
        if (before < rule->skip || (rule->most && before >= rule->skip + rule->most))
            continue;
        if (!is_chosen(rule, before))
            continue;
        if (rule->wait_ms) {
            struct timespec wait = {rule->wait_ms / 1000, rule->wait_ms % 1000 * 1000000L};
            nanosleep(&wait, NULL);
        }
        if (rule->error == KILL)
            kill(getpid(), SIGKILL);
        if (rule->error) {
            errno = rule->error;
            return 1;
        }
    }
    return 0;
}

static const char *path_of(int fd, char *path)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static int fails_at(int call, int fd)
{
    char path[PATH_MAX];
    return is_asked_for(call) && fails(call, path_of(fd, path));
}

#include "shim_power.h"
#include "shim_calls.h"
