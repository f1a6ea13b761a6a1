/* What a power cut leaves, in the directory `fsynced`. power.py reads it, and draws what these files contain.

   `{inode}`: a file as it was at its last fsync. `{inode}.names`: a directory as it was at its last fsync, a line
   `= inode name` for each name, and then a line for each change since: `+ inode name` (created), `- 0 name`
   (unlinked), `> inode name` before a `- 0 name` that belongs to it (renamed).
   `{inode of the directory}.{inode}.held`: a hard link to a file that lost its name since. It keeps the content, and
   its inode from other files, because a power cut may give the name back. */

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

static int is_below_watched(const char *path)
{
    return watched && !strncmp(path, watched, watched_length);
}

static int is_watched(int fd, struct stat *now)
{
    char path[PATH_MAX];
    return watched && !fstat(fd, now) && (S_ISREG(now->st_mode) || S_ISDIR(now->st_mode)) &&
           is_below_watched(path_of(fd, path));
}

static void note_range(ino_t inode, off_t first, off_t end)
{
    pthread_mutex_lock(&lock);
    struct file *file = file_of(inode);
    if (file->first == file->end)
        file->first = file->end = first;
    file->first = first < file->first ? first : file->first;
    file->end = end > file->end ? end : file->end;
    pthread_mutex_unlock(&lock);
}

/* Called after the write: an fsync in another thread at the same time may not have covered it. */
static ssize_t note_write(int fd, off_t at, ssize_t size)
{
    struct stat now;
    if (size <= 0 || !is_watched(fd, &now))
        return size;
    if (at < 0)
        at = (fcntl(fd, F_GETFL) & O_APPEND ? now.st_size : lseek(fd, 0, SEEK_CUR)) - size;
    note_range(now.st_ino, at, at + size);
    return size;
}

static void note_truncate(int fd, off_t size)
{
    struct stat now;
    if (is_watched(fd, &now) && size < now.st_size)
        note_range(now.st_ino, size, now.st_size);
}

static void copy_name(ino_t inode, char *path)
{
    snprintf(path, PATH_MAX, "%s/%ju", fsynced, (uintmax_t)inode);
}

static void names_of(ino_t directory, char *path)
{
    snprintf(path, PATH_MAX, "%s/%ju.names", fsynced, (uintmax_t)directory);
}

/* The changes of a directory are durable: what lost its name in it is gone. */
static void drop_held(ino_t directory)
{
    char prefix[32], path[PATH_MAX], copy[PATH_MAX];
    struct stat now;
    snprintf(prefix, sizeof prefix, "%ju.", (uintmax_t)directory);
    DIR *all = opendir(fsynced);
    for (struct dirent *entry; all && (entry = readdir(all));) {
        const char *end = strstr(entry->d_name, ".held");
        if (!end || strncmp(entry->d_name, prefix, strlen(prefix)))
            continue;
        snprintf(path, sizeof path, "%s/%s", fsynced, entry->d_name);
        int is_last = !stat(path, &now) && now.st_nlink == 1;
        REAL(unlink)(path);
        if (is_last) {
            copy_name(now.st_ino, copy);
            REAL(unlink)(copy);
            *file_of(now.st_ino) = (struct file){.inode = now.st_ino};
        }
    }
    if (all)
        closedir(all);
}

/* Under another name first: a broker that is killed meanwhile must leave all names, or those before. */
static void copy_names(int fd, ino_t inode)
{
    char path[PATH_MAX], to[PATH_MAX], unfinished[PATH_MAX + 4];
    names_of(inode, to);
    snprintf(unfinished, sizeof unfinished, "%s.new", to);
    FILE *names = fopen(unfinished, "w");
    DIR *directory = opendir(path_of(fd, path));
    for (struct dirent *entry; names && directory && (entry = readdir(directory));)
        fprintf(names, "= %ju %s\n", (uintmax_t)entry->d_ino, entry->d_name);
    if (directory)
        closedir(directory);
    if (!names || fclose(names) || REAL(rename)(unfinished, to))
        abort();
    drop_held(inode);
}

static void copy_file(int fd, const struct stat *now)
{
    char path[PATH_MAX], bytes[65536];
    copy_name(now->st_ino, path);
    int to = REAL(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct file *file = file_of(now->st_ino);
    off_t at = file->copied ? file->first : 0, end = file->copied ? file->end : now->st_size;
    int from = at < end ? REAL(open)(path_of(fd, path), O_RDONLY | O_CLOEXEC) : -1;
    for (ssize_t got; at < end && (got = REAL(pread)(from, bytes, sizeof bytes, at)) > 0; at += got)
        if (REAL(pwrite)(to, bytes, got, at) != got)
            abort();
    if (from >= 0)
        close(from);
    if (REAL(ftruncate)(to, now->st_size))
        abort();
    close(to);
    *file = (struct file){.inode = now->st_ino, .copied = 1};
}

static void note_sync(int fd)
{
    struct stat now;
    if (!is_watched(fd, &now))
        return;
    pthread_mutex_lock(&lock);
    /* Again: while this thread waited for the lock, another one may have made the file longer, and noted that. */
    fstat(fd, &now);
    if (S_ISDIR(now.st_mode))
        copy_names(fd, now.st_ino);
    else
        copy_file(fd, &now);
    pthread_mutex_unlock(&lock);
}

/* The directory of a watched path, and where its name begins. */
static int parent_of(const char *path, struct stat *parent, const char **name)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!is_below_watched(path) || !slash || (size_t)(slash - path) >= sizeof directory)
        return 0;
    snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
    *name = slash + 1;
    return !stat(directory, parent);
}

/* In one write: a rename is done or not. */
static void add_changes(ino_t directory, const char *changes)
{
    char path[PATH_MAX];
    names_of(directory, path);
    int to = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (REAL(write)(to, changes, strlen(changes)) < 0)
        abort();
    close(to);
}

/* Called after the file got its name, with the lock. */
static void note_name(const char *path)
{
    struct stat now, parent;
    const char *name;
    char line[PATH_MAX + 32];
    if (!parent_of(path, &parent, &name) || stat(path, &now))
        return;
    snprintf(line, sizeof line, "+ %ju %s\n", (uintmax_t)now.st_ino, name);
    add_changes(parent.st_ino, line);
}

/* Called before a name loses its file, with the lock. */
static void hold(const char *path, ino_t directory)
{
    struct stat now;
    char held[PATH_MAX];
    if (stat(path, &now) || S_ISDIR(now.st_mode))
        return;
    snprintf(held, sizeof held, "%s/%ju.%ju.held", fsynced, (uintmax_t)directory, (uintmax_t)now.st_ino);
    if (link(path, held) && errno != EEXIST)
        abort();
}

/* Called before a file is unlinked, with the lock. */
static void note_unlink(const char *path)
{
    struct stat parent;
    const char *name;
    char line[PATH_MAX + 32];
    if (!parent_of(path, &parent, &name) || access(path, F_OK))
        return;
    hold(path, parent.st_ino);
    snprintf(line, sizeof line, "- 0 %s\n", name);
    add_changes(parent.st_ino, line);
}

/* Called before a file is renamed, with the lock. */
static void note_rename(const char *from, const char *to)
{
    struct stat now, old, new;
    const char *name, *former;
    char lines[2 * PATH_MAX], *second = lines + PATH_MAX;
    if (!parent_of(from, &old, &former) || !parent_of(to, &new, &name) || stat(from, &now))
        return;
    hold(to, new.st_ino);
    snprintf(lines, PATH_MAX, "> %ju %s\n- 0 %s\n", (uintmax_t)now.st_ino, name, former);
    if (old.st_ino != new.st_ino) {
        snprintf(lines, PATH_MAX, "+ %ju %s\n", (uintmax_t)now.st_ino, name);
        snprintf(second, PATH_MAX, "- 0 %s\n", former);
        hold(from, old.st_ino);
        add_changes(old.st_ino, second);
    }
    add_changes(new.st_ino, lines);
}
