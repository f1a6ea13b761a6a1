/* Preloaded into a broker by tests: makes system calls on files fail or wait, and keeps copies of what was fsynced.

   The rules are in a file that the test maps too (see shim.py). Each call reads them, so a change applies at once.
   For power cuts, an fsync copies what was written since the previous one to a file named after the inode. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
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
       THREAD = 512 };
enum { RULES = 32, FILES = 4096 };

/* Without an error the call continues after `wait_ms`. The rule lets the first `skip` calls through, and, unless
   `most` is 0, all calls after it has applied to `most`. */
struct rule {
    int32_t active, calls, error, wait_ms;
    int64_t skip, most, seen;
    char pattern[216];
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
        if (rule->wait_ms) {
            struct timespec wait = {rule->wait_ms / 1000, rule->wait_ms % 1000 * 1000000L};
            nanosleep(&wait, NULL);
        }
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

/* The ranges written to a file since its last fsync; the whole file before the first fsync of this process. */
static struct file { ino_t inode; int copied; off_t first, end; } files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct file *file_of(ino_t inode)
{
    struct file *file = files + inode % FILES;
    while (file->inode && file->inode != inode)
        if (++file == files + FILES)
            file = files;
    file->inode = inode;
    return file;
}

static int is_watched(int fd, struct stat *now)
{
    char path[PATH_MAX];
    return watched && !fstat(fd, now) && (S_ISREG(now->st_mode) || S_ISDIR(now->st_mode)) &&
           !strncmp(path_of(fd, path), watched, watched_length);
}

/* Called after the write: an fsync in another thread at the same time may not have covered it. */
static ssize_t note_write(int fd, off_t at, ssize_t size)
{
    struct stat now;
    if (size <= 0 || !is_watched(fd, &now))
        return size;
    if (at < 0)
        at = (fcntl(fd, F_GETFL) & O_APPEND ? now.st_size : lseek(fd, 0, SEEK_CUR)) - size;
    pthread_mutex_lock(&lock);
    struct file *file = file_of(now.st_ino);
    if (file->first == file->end)
        file->first = file->end = at;
    file->first = at < file->first ? at : file->first;
    file->end = at + size > file->end ? at + size : file->end;
    pthread_mutex_unlock(&lock);
    return size;
}

static void copy_name(ino_t inode, char *path)
{
    snprintf(path, PATH_MAX, "%s/%ju", fsynced, (uintmax_t)inode);
}

/* Under another name first: a broker that is killed meanwhile must leave all names, or those before. */
static void copy_names(int fd, const char *to)
{
    char path[PATH_MAX], unfinished[PATH_MAX + 4];
    snprintf(unfinished, sizeof unfinished, "%s.new", to);
    FILE *names = fopen(unfinished, "w");
    DIR *directory = opendir(path_of(fd, path));
    for (struct dirent *entry; names && directory && (entry = readdir(directory));)
        fprintf(names, "%s\n", entry->d_name);
    if (directory)
        closedir(directory);
    if (!names || fclose(names) || REAL(rename)(unfinished, to))
        abort();
}

static void note_sync(int fd)
{
    struct stat now;
    char path[PATH_MAX], bytes[65536];
    if (!is_watched(fd, &now))
        return;
    pthread_mutex_lock(&lock);
    /* Again: while this thread waited for the lock, another one may have made the file longer, and noted that. */
    fstat(fd, &now);
    copy_name(now.st_ino, path);
    if (S_ISDIR(now.st_mode)) {
        copy_names(fd, path);
        pthread_mutex_unlock(&lock);
        return;
    }
    int to = REAL(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct file *file = file_of(now.st_ino);
    off_t at = file->copied ? file->first : 0, end = file->copied ? file->end : now.st_size;
    int from = at < end ? REAL(open)(path_of(fd, path), O_RDONLY | O_CLOEXEC) : -1;
    for (ssize_t got; at < end && (got = REAL(pread)(from, bytes, sizeof bytes, at)) > 0; at += got)
        if (REAL(pwrite)(to, bytes, got, at) != got)
            abort();
    if (from >= 0)
        close(from);
    if (REAL(ftruncate)(to, now.st_size))
        abort();
    close(to);
    *file = (struct file){.inode = now.st_ino, .copied = 1};
    pthread_mutex_unlock(&lock);
}

/* The system may reuse the inode for another file. */
static void note_end(const char *path)
{
    struct stat now;
    char copy[PATH_MAX];
    if (!watched || stat(path, &now) || now.st_nlink > 1 || S_ISDIR(now.st_mode))
        return;
    copy_name(now.st_ino, copy);
    pthread_mutex_lock(&lock);
    REAL(unlink)(copy);
    *file_of(now.st_ino) = (struct file){.inode = now.st_ino};
    pthread_mutex_unlock(&lock);
}

#include "shim_calls.h"
