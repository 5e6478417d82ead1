/* Preloaded: system calls on files below a folder fail, as those of a bad or full disk do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char call[16], below[PATH_MAX];
static long first, every, times, count, failed;
static int code;

/* Fail the calls named `name` on paths that begin with `folder`: number `begin`, counted from 1, then each `each`-th,
   `most` of them, with that errno. Returns the calls that were counted before. */
long fail_calls(const char *name, const char *folder, long begin, long each, long most, long error) {
    long before = count;
    strncpy(call, name, sizeof call - 1);
    strncpy(below, folder, sizeof below - 1);
    first = begin, every = each, times = most, code = error, count = failed = 0;
    return before;
}

/* How many have failed. */
long failed_calls(void) { return failed; }

static int named(int directory, const char *path, char *whole) {
    char link[64];
    ssize_t length = 0;
    if (path && path[0] == '/') {
        snprintf(whole, PATH_MAX, "%s", path);
        return 1;
    }
    if (directory == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
        length = strlen(whole);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        length = readlink(link, whole, PATH_MAX - 1);
        if (length < 0) return 0;
    }
    snprintf(whole + length, PATH_MAX - length, "%s%s", path ? "/" : "", path ? path : "");
    return 1;
}

static int fails(const char *name, int directory, const char *path) {
    char whole[PATH_MAX];
    int saved = errno;
    if (!call[0] || strcmp(name, call) || !named(directory, path, whole) || strncmp(whole, below, strlen(below))) {
        errno = saved;
        return 0;
    }
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (number < first || (number - first) % every || failed >= times) {
        errno = saved;
        return 0;
    }
    failed++;
    errno = code;
    return 1;
}

/* The same function of the C library. */
#define NEXT(result, name, ...) \
    static result (*next)(__VA_ARGS__); \
    if (!next) next = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define ON_FILE(result, name, kind, parameters, arguments, ...) \
    result name parameters { \
        NEXT(result, name, __VA_ARGS__); \
        return fails(kind, file, NULL) ? -1 : next arguments; \
    }

#define ON_PATH(name, kind, directory, path, parameters, arguments, ...) \
    int name parameters { \
        NEXT(int, name, __VA_ARGS__); \
        return fails(kind, directory, path) ? -1 : next arguments; \
    }

ON_FILE(ssize_t, read, "read", (int file, void *to, size_t size), (file, to, size), int, void *, size_t)
ON_FILE(ssize_t, pread64, "read", (int file, void *to, size_t size, off_t at), (file, to, size, at), int, void *, size_t, off_t)
ON_FILE(ssize_t, write, "write", (int file, const void *from, size_t size), (file, from, size), int, const void *, size_t)
ON_FILE(ssize_t, pwrite, "write", (int file, const void *from, size_t size, off_t at), (file, from, size, at), int, const void *, size_t, off_t)
ON_FILE(ssize_t, pwrite64, "write", (int file, const void *from, size_t size, off_t at), (file, from, size, at), int, const void *, size_t, off_t)
ON_FILE(int, ftruncate, "write", (int file, off_t size), (file, size), int, off_t)
ON_FILE(int, ftruncate64, "write", (int file, off_t size), (file, size), int, off_t)
ON_FILE(int, fsync, "fsync", (int file), (file), int)
ON_FILE(int, fdatasync, "fsync", (int file), (file), int)
ON_PATH(rename, "rename", AT_FDCWD, to, (const char *from, const char *to), (from, to), const char *, const char *)
ON_PATH(renameat, "rename", there, to, (int here, const char *from, int there, const char *to), (here, from, there, to), int, const char *, int, const char *)
ON_PATH(link, "rename", AT_FDCWD, to, (const char *from, const char *to), (from, to), const char *, const char *)
ON_PATH(linkat, "rename", there, to, (int here, const char *from, int there, const char *to, int flags), (here, from, there, to, flags), int, const char *, int, const char *, int)
ON_PATH(unlink, "unlink", AT_FDCWD, path, (const char *path), (path), const char *)
ON_PATH(unlinkat, "unlink", there, path, (int there, const char *path, int flags), (there, path, flags), int, const char *, int)
ON_PATH(rmdir, "unlink", AT_FDCWD, path, (const char *path), (path), const char *)
ON_PATH(mkdir, "mkdir", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
ON_PATH(mkdirat, "mkdir", there, path, (int there, const char *path, mode_t mode), (there, path, mode), int, const char *, mode_t)

static mode_t mode_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; }

#define OPENS(name, directory, parameters, arguments, ...) \
    int name parameters { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = mode_of(flags, rest); \
        va_end(rest); \
        NEXT(int, name, __VA_ARGS__); \
        return fails("open", directory, path) ? -1 : next arguments; \
    }

OPENS(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode), const char *, int, ...)
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode), const char *, int, ...)
OPENS(openat, there, (int there, const char *path, int flags, ...), (there, path, flags, mode), int, const char *, int, ...)
OPENS(openat64, there, (int there, const char *path, int flags, ...), (there, path, flags, mode), int, const char *, int, ...)
