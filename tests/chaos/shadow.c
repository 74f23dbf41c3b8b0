/* A power cut for one directory: whenever a file in it is flushed, its contents are copied aside. What was never flushed
 * is not among the copies, as it would not be on the disk. Loaded before libc (LD_PRELOAD); see shadow.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void keep(int fd) {
    const char *of = getenv("SHADOW_OF"), *to = getenv("SHADOW_TO");
    char link[64], path[PATH_MAX], part[PATH_MAX + 8], kept[PATH_MAX], block[1 << 16];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!of || !to || length <= 0) return;
    path[length] = 0;
    const char *name = strrchr(path, '/') + 1;
    if (strncmp(path, of, strlen(of)) != 0 || (size_t)(name - path) != strlen(of) + 1) return;
    snprintf(kept, sizeof kept, "%s/%s", to, name);
    snprintf(part, sizeof part, "%s.part", kept);
    pthread_mutex_lock(&one_at_a_time);
    int from = open(path, O_RDONLY), copy = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t count = -1;
    while (from >= 0 && copy >= 0 && (count = read(from, block, sizeof block)) > 0)
        if (write(copy, block, count) != count) abort();
    if (from >= 0) close(from);
    if (copy >= 0) close(copy);
    /* The flush has not returned: nobody was told of it, if the cut comes before this. */
    if (count == 0) rename(part, kept);
    pthread_mutex_unlock(&one_at_a_time);
}

static int flush(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(fd);
    if (result == 0) keep(fd);
    return result;
}

int fsync(int fd) { return flush("fsync", fd); }
int fdatasync(int fd) { return flush("fdatasync", fd); }
