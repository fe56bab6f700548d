// Runs a program to its end and writes what it took to a file: wall seconds, CPU seconds and the
// largest resident memory in KiB, of the program and of the children that it waited for. It is small
// because a process starts with the footprint of the one that started it.
//
// usage: cost FILE PROGRAM [ARGUMENT…]
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double seconds(struct timeval t) {
    return t.tv_sec + t.tv_usec * 1e-6;
}

int main(int count, char **words) {
    if (count < 3) {
        fprintf(stderr, "usage: cost FILE PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    pid_t child;
    int status;
    struct rusage usage;
    double before = now();
    if (posix_spawnp(&child, words[2], NULL, NULL, words + 2, environ) != 0) {
        fprintf(stderr, "cost: cannot start %s\n", words[2]);
        return 127;
    }
    if (wait4(child, &status, 0, &usage) != child)
        return 126;
    double wall = now() - before;
    FILE *file = fopen(words[1], "w");
    if (file == NULL)
        return 126;
    fprintf(file, "%.9f %.6f %ld\n", wall, seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss);
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
