/* The limit of starting processes: some threads, each of which starts a child, waits for it, and
 * starts the next. Nothing is captured. `spawn COUNT THREADS PROGRAM`. */

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

struct share {
    pthread_t thread;
    long children;
    char *program;
};

static void *run_children(void *argument) {
    struct share *share = argument;
    char *arguments[] = {share->program, NULL};
    for (long i = 0; i < share->children; i++) {
        pid_t child;
        int status;
        errno = posix_spawn(&child, share->program, NULL, NULL, arguments, environ);
        if (errno != 0 || waitpid(child, &status, 0) < 0) {
            perror(share->program);
            exit(1);
        }
        if (status != 0) {
            fprintf(stderr, "%s: status %d\n", share->program, status);
            exit(1);
        }
    }
    return NULL;
}

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: spawn COUNT THREADS PROGRAM\n");
        return 2;
    }
    long children = atol(words[1]), threads = atol(words[2]);
    struct share *shares = calloc(threads > 0 ? (size_t)threads : 1, sizeof *shares);
    if (shares == NULL || threads < 1) {
        return 2;
    }
    for (long i = 0; i < threads; i++) {
        shares[i].children = children / threads + (i < children % threads);
        shares[i].program = words[3];
        if (pthread_create(&shares[i].thread, NULL, run_children, &shares[i]) != 0) {
            return 1;
        }
    }
    for (long i = 0; i < threads; i++) {
        pthread_join(shares[i].thread, NULL);
    }
    free(shares);
    return 0;
}
