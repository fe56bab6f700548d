/* The limit of calls in worker processes: children that send back what they are sent over pipes,
 * each with so many messages under way. `pingpong COUNT WORKERS WINDOW BYTES`. */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_WORKERS = 64, BUFFER = 1 << 16 };

struct worker {
    int to, from;
    long unsent, unanswered; /* messages; bytes */
};

static void check(int holds, const char *what) {
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static void send_all(int file, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = write(file, bytes, length);
        check(sent > 0, "write");
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* What a worker does: sends back what comes, until nothing comes any more. */
static void echo(int from, int to) {
    static char buffer[BUFFER];
    ssize_t length;
    while ((length = read(from, buffer, sizeof buffer)) > 0) {
        send_all(to, buffer, (size_t)length);
    }
    _exit(0);
}

static void start(struct worker *workers, int index) {
    int requests[2], answers[2];
    check(pipe(requests) == 0 && pipe(answers) == 0, "pipe");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        /* An earlier worker's pipe must not stay open here, or it would never see its end. */
        for (int i = 0; i < index; i++) {
            close(workers[i].to);
            close(workers[i].from);
        }
        close(requests[1]);
        close(answers[0]);
        echo(requests[0], answers[1]);
    }
    close(requests[0]);
    close(answers[1]);
    workers[index].to = requests[1];
    workers[index].from = answers[0];
}

int main(int count, char **words) {
    if (count != 5) {
        fprintf(stderr, "usage: pingpong COUNT WORKERS WINDOW BYTES\n");
        return 2;
    }
    long messages = atol(words[1]), window = atol(words[3]), bytes = atol(words[4]);
    int many = atoi(words[2]);
    if (many < 1 || many > MOST_WORKERS || bytes < 1 || window * bytes > BUFFER) {
        return 2;
    }
    struct worker workers[MOST_WORKERS];
    struct pollfd files[MOST_WORKERS];
    static char message[BUFFER], buffer[BUFFER];
    for (int i = 0; i < many; i++) {
        start(workers, i);
        workers[i].unsent = messages / many;
        workers[i].unanswered = 0;
        files[i] = (struct pollfd){.fd = workers[i].from, .events = POLLIN};
    }
    long open = messages / many * many * bytes;
    while (open > 0) {
        for (int i = 0; i < many; i++) {
            struct worker *worker = &workers[i];
            while (worker->unsent > 0 && worker->unanswered <= (window - 1) * bytes) {
                send_all(worker->to, message, (size_t)bytes);
                worker->unsent--;
                worker->unanswered += bytes;
            }
        }
        check(poll(files, (nfds_t)many, -1) > 0, "poll");
        for (int i = 0; i < many; i++) {
            if (files[i].revents != 0) {
                ssize_t length = read(workers[i].from, buffer, sizeof buffer);
                check(length > 0, "read");
                workers[i].unanswered -= length;
                open -= length;
            }
        }
    }
    return 0;
}
