/* Preloaded: reads of one file fail, as those of a bad disk do. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char name[4096];
static long every, from, count;

/* Fail each `every`-th read and all after `from`, of files whose path ends in `suffix`; 0: none. Returns the count so far. */
long fail_reads(const char *suffix, long each, long begin) {
    long before = count;
    strncpy(name, suffix, sizeof name - 1);
    every = each, from = begin, count = 0;
    return before;
}

ssize_t read(int file, void *buffer, size_t size) {
    char link[64], path[4096];
    if (name[0]) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        ssize_t length = readlink(link, path, sizeof path);
        size_t wanted = strlen(name);
        if (length >= (ssize_t)wanted && !memcmp(path + length - wanted, name, wanted)) {
            count++;
            if ((every && count % every == 0) || (from && count > from)) {
                errno = EIO;
                return -1;
            }
        }
    }
    return syscall(SYS_read, file, buffer, size);
}
