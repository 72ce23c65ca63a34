// Preloaded into the program: writes down what it does to the files below $FAULTS_UNDER, and lets one of these operations go
// wrong. Every operation is one that changes what is on disk: a write, a new name, a removal, a wait for the disk.
//
//   FAULTS_UNDER  the folder that is looked at
//   FAULTS_LOG    where each operation is written down before it is done: a line of words with tabs between, and its bytes
//   FAULTS_AT     which operation goes wrong, from 1; none without
//   FAULTS_KIND   how: see `fails`
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static long at, done;
static int log_file = -1;
static char under[PATH_MAX];
static const char *kind = "";

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("FAULTS_UNDER"), *file = getenv("FAULTS_LOG"), *number = getenv("FAULTS_AT");
    if (folder == NULL) return;
    snprintf(under, sizeof under, "%s", folder);
    if (file != NULL) log_file = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (number != NULL) at = atol(number);
    if (getenv("FAULTS_KIND") != NULL) kind = getenv("FAULTS_KIND");
}

static int is(const char *name) { return strcmp(kind, name) == 0; }

// Whether a path is below the folder; what has no name any more is nobody's business.
static int is_under(const char *path) {
    size_t length = strlen(under);
    return length > 0 && path != NULL && strncmp(path, under, length) == 0 && strstr(path, " (deleted)") == NULL;
}

// The name of an open file.
static const char *name_of(int file, char *name) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, PATH_MAX - 1);
    name[length < 0 ? 0 : length] = 0;
    return name;
}

static void note(const char *what, const char *path, const char *other, long offset, const void *bytes, size_t length) {
    char line[3 * PATH_MAX];
    int size = snprintf(line, sizeof line, "%s\t%s\t%s\t%ld\t%zu\n", what, path, other, offset, length);
    struct iovec parts[2] = {{line, size}, {(void *)bytes, length}};
    if (log_file >= 0) syscall(SYS_writev, log_file, parts, 2);
}

// Whether the operation that is about to be done goes wrong: it then has errno set. A killed process does not come back.
//   enospc, eio   it is refused, with that reason
//   full          so are all after it that need room
//   eintr         it is interrupted once, and would succeed the next time
//   kill          the process is killed before it
//   torn          the process is killed in the middle of it, if it is a write
//   term, int     the process is asked to stop, by that signal, before it
//   clock         from here on it is half a year ago
static int fails(int needs_room) {
    long number = ++done;
    if (at == 0 || number < at || (number > at && !is("full"))) return 0;
    if (is("kill")) syscall(SYS_kill, getpid(), SIGKILL);
    if (is("term")) syscall(SYS_kill, getpid(), SIGTERM);
    if (is("int")) syscall(SYS_kill, getpid(), SIGINT);
    if (is("enospc") || (is("full") && needs_room)) return errno = ENOSPC, 1;
    if (is("eio")) return errno = EIO, 1;
    return 0;
}

static int is_now(const char *name) { return at == done && is(name); }

#define REAL(result, name, ...) static result (*real)(__VA_ARGS__); if (real == NULL) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define RETURN(result) do { int kept = errno; pthread_mutex_unlock(&one); errno = kept; return result; } while (0)

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    struct stat found;
    pthread_mutex_lock(&one);
    int is_there = fstatat(folder, path, &found, 0) == 0;
    int changes = (flags & (O_WRONLY | O_RDWR)) && (is_there ? (flags & O_TRUNC) && found.st_size > 0 : flags & O_CREAT);
    if (folder == AT_FDCWD && is_under(path) && changes) {
        if (fails(1)) RETURN(-1);
        note(is_there ? "truncate" : "create", path, "", 0, "", 0);
    }
    int file = syscall(SYS_openat, folder, path, flags, mode);
    RETURN(file);
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
    return open_at(AT_FDCWD, path, flags, mode); }
OPEN(open)
OPEN(open64)
#define OPEN_AT(name) int name(int folder, const char *path, int flags, ...) { \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
    return open_at(folder, path, flags, mode); }
OPEN_AT(openat)
OPEN_AT(openat64)

ssize_t write(int file, const void *bytes, size_t length) {
    char name[PATH_MAX];
    if (!is_under(name_of(file, name))) return syscall(SYS_write, file, bytes, length);
    pthread_mutex_lock(&one);
    if (fails(1)) {
        // A disk is seldom full to the byte: the first half still fits.
        if (!is_now("full") || length < 2) RETURN(-1);
        length /= 2;
    }
    if (is_now("eintr")) { done--, at = 0; errno = EINTR; RETURN(-1); }
    int is_torn = is_now("torn");
    if ((is_now("short") || is_torn) && length > 1) length /= 2;
    struct stat found;
    fstat(file, &found);
    long offset = fcntl(file, F_GETFL) & O_APPEND ? found.st_size : lseek(file, 0, SEEK_CUR);
    note("write", name, "", offset, bytes, length);
    ssize_t written = syscall(SYS_write, file, bytes, length);
    if (is_torn) syscall(SYS_kill, getpid(), SIGKILL);
    RETURN(written);
}

int ftruncate64(int file, off64_t length) {
    char name[PATH_MAX];
    if (!is_under(name_of(file, name))) return syscall(SYS_ftruncate, file, length);
    pthread_mutex_lock(&one);
    if (fails(0)) RETURN(-1);
    note("cut", name, "", length, "", 0);
    int result = syscall(SYS_ftruncate, file, length);
    RETURN(result);
}
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int rename(const char *from, const char *to) {
    if (!is_under(to)) return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    pthread_mutex_lock(&one);
    if (fails(1)) RETURN(-1);
    note("rename", from, to, 0, "", 0);
    int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    RETURN(result);
}

static int remove_at(const char *path, int flags) {
    pthread_mutex_lock(&one);
    struct stat found;
    if (is_under(path) && lstat(path, &found) == 0) {
        if (fails(0)) RETURN(-1);
        note("remove", path, "", 0, "", 0);
    }
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    RETURN(result);
}
int unlink(const char *path) { return remove_at(path, 0); }
int rmdir(const char *path) { return remove_at(path, AT_REMOVEDIR); }

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&one);
    struct stat found;
    if (is_under(path) && stat(path, &found) != 0) {
        if (fails(1)) RETURN(-1);
        note("folder", path, "", 0, "", 0);
    }
    int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    RETURN(result);
}

static int sync_file(int file, long number) {
    char name[PATH_MAX];
    if (!is_under(name_of(file, name))) return syscall(number, file);
    pthread_mutex_lock(&one);
    if (fails(1)) RETURN(-1);
    note("sync", name, "", 0, "", 0);
    // Written down is enough: the disk itself is not cut off.
    RETURN(0);
}
int fsync(int file) { return sync_file(file, SYS_fsync); }
int fdatasync(int file) { return sync_file(file, SYS_fdatasync); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME && is("clock") && at > 0 && done >= at) time->tv_sec -= 15000000;
    return result;
}
