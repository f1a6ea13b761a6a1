/* The intercepted calls. Those with 64 in their names are the same on systems with 64-bit offsets. */

#define FAIL_AT(call, fd) do { if (fails_at(call, fd)) return -1; } while (0)
#define FAIL(call, path) do { if (fails(call, path)) return -1; } while (0)

ssize_t read(int fd, void *to, size_t size)
{
    FAIL_AT(READ, fd);
    return REAL(read)(fd, to, size);
}

ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    FAIL_AT(READ, fd);
    return REAL(pread)(fd, to, size, at);
}

ssize_t pread64(int, void *, size_t, off_t) __attribute__((alias("pread")));

size_t fread_unlocked(void *to, size_t size, size_t count, FILE *file)
{
    return fails_at(READ, fileno(file)) ? 0 : REAL(fread_unlocked)(to, size, count, file);
}

static ssize_t written(int fd, off_t at, ssize_t size)
{
    note_write(fd, at, size);
    if (size > 0)
        fails_at(WRITTEN, fd);
    return size;
}

ssize_t write(int fd, const void *from, size_t size)
{
    FAIL_AT(WRITE, fd);
    return written(fd, -1, REAL(write)(fd, from, size));
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    FAIL_AT(WRITE, fd);
    return written(fd, at, REAL(pwrite)(fd, from, size, at));
}

ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    FAIL_AT(WRITE, fd);
    return written(fd, at, REAL(pwritev)(fd, pieces, count, at));
}

ssize_t pwritev64(int, const struct iovec *, int, off_t) __attribute__((alias("pwritev")));

static int synced(int fd, int result)
{
    if (!result) {
        note_sync(fd);
        fails_at(SYNCED, fd);
    }
    return result;
}

int fsync(int fd)
{
    FAIL_AT(SYNC, fd);
    return synced(fd, REAL(fsync)(fd));
}

int fdatasync(int fd)
{
    FAIL_AT(SYNC, fd);
    return synced(fd, REAL(fdatasync)(fd));
}

int sync_file_range(int fd, off64_t at, off64_t size, unsigned flags)
{
    FAIL_AT(SYNC, fd);
    return REAL(sync_file_range)(fd, at, size, flags);
}

static int opened(const char *path, int is_new, int fd)
{
    if (is_new && fd >= 0) {
        pthread_mutex_lock(&lock);
        note_name(path);
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

int openat(int directory, const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    FAIL(OPEN, path);
    int is_new = flags & O_CREAT && is_below_watched(path) && access(path, F_OK);
    return opened(path, is_new, REAL(openat)(directory, path, flags, mode));
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    FAIL(OPEN, path);
    int is_new = flags & O_CREAT && is_below_watched(path) && access(path, F_OK);
    return opened(path, is_new, REAL(open)(path, flags, mode));
}

int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
int open64(const char *, int, ...) __attribute__((alias("open")));

int statvfs(const char *path, struct statvfs *to)
{
    FAIL(STATFS, path);
    return REAL(statvfs)(path, to);
}

int fstatvfs(int fd, struct statvfs *to)
{
    FAIL_AT(STATFS, fd);
    return REAL(fstatvfs)(fd, to);
}

int fstatfs(int fd, struct statfs *to)
{
    FAIL_AT(STATFS, fd);
    return REAL(fstatfs)(fd, to);
}

int statvfs64(const char *, struct statvfs64 *) __attribute__((alias("statvfs")));
int fstatvfs64(int, struct statvfs64 *) __attribute__((alias("fstatvfs")));
int fstatfs64(int, struct statfs64 *) __attribute__((alias("fstatfs")));

int flock(int fd, int operation)
{
    FAIL_AT(LOCK, fd);
    return REAL(flock)(fd, operation);
}

int fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW)
        FAIL_AT(LOCK, fd);
    return REAL(fcntl)(fd, command, argument);
}

int fcntl64(int, int, ...) __attribute__((alias("fcntl")));

int rename(const char *from, const char *to)
{
    FAIL(RENAME, to);
    pthread_mutex_lock(&lock);
    note_rename(from, to);
    int result = REAL(rename)(from, to);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size)
{
    FAIL_AT(TRUNCATE, fd);
    note_truncate(fd, size);
    return REAL(ftruncate)(fd, size);
}

int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));

int unlink(const char *path)
{
    FAIL(UNLINK, path);
    pthread_mutex_lock(&lock);
    note_unlink(path);
    int result = REAL(unlink)(path);
    pthread_mutex_unlock(&lock);
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    /* It returns the error. */
    if (fails(THREAD, ""))
        return errno;
    return REAL(pthread_create)(thread, attributes, run, argument);
}
