/* SPDX-License-Identifier: Apache-2.0 */
/* Uses what a C library gives, and prints what does not depend on which library it is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int nr_ready;
static long total;
static __thread long own = 7;
static sem_t semaphore;
static volatile sig_atomic_t caught;
static sigjmp_buf back;

static void *worker(void *arg)
{
    own += (long)arg;
    pthread_mutex_lock(&mutex);
    nr_ready++;
    pthread_cond_broadcast(&changed);
    while (nr_ready < 5)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 10000; i++) {
        pthread_mutex_lock(&mutex);
        total += own;
        pthread_mutex_unlock(&mutex);
    }
    sem_post(&semaphore);
    return (void *)own;
}

static void threads(void)
{
    pthread_t thread[5];
    long sum = 0;
    sem_init(&semaphore, 0, 0);
    for (long i = 0; i < 5; i++)
        pthread_create(&thread[i], NULL, worker, (void *)i);
    for (int i = 0; i < 5; i++)
        sem_wait(&semaphore);
    for (int i = 0; i < 5; i++) {
        void *answer;
        pthread_join(thread[i], &answer);
        sum += (long)answer;
    }
    printf("threads: total %ld, own %ld, sum %ld\n", total, own, sum);
}

static void on_signal(int sig)
{
    caught = sig;
}

static void on_fault(int sig)
{
    (void)sig;
    siglongjmp(back, 1);
}

static void signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("signal: %s\n", caught == SIGUSR1 ? "caught" : "missed");
    action.sa_handler = on_fault;
    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(back, 1) == 0) {
        *(volatile int *)8 = 1;
        printf("fault: none\n");
    } else {
        printf("fault: caught\n");
    }
}

static void processes(void)
{
    int fd[2], status = 0;
    char text[32] = "";
    if (pipe(fd))
        exit(9);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (write(fd[1], "from the child", 14) != 14)
            _exit(1);
        _exit(33);
    }
    close(fd[1]);
    ssize_t n = read(fd[0], text, sizeof(text) - 1);
    waitpid(pid, &status, 0);
    printf("child: '%.*s', code %d\n", (int)n, text, WEXITSTATUS(status));
    FILE *p = popen("echo out of a shell; exit 4", "r");
    while (p && fgets(text, sizeof(text), p))
        printf("popen: %s", text);
    printf("pclose: %d, system: %d\n", WEXITSTATUS(pclose(p)), WEXITSTATUS(system("exit 6")));
}

static void files(void)
{
    char name[] = "/tmp/libc-user-XXXXXX", text[64] = "";
    int fd = mkstemp(name);
    struct stat st;
    FILE *f = fdopen(fd, "w+");
    fprintf(f, "%d %s %.3f", 42, "words", 2.5);
    rewind(f);
    char *answer = fgets(text, sizeof(text), f);
    fstat(fd, &st);
    printf("file: '%s', %ld bytes, mode %o\n", answer ? answer : "", (long)st.st_size,
           st.st_mode & 07777);
    fclose(f);
    unlink(name);
    errno = 0;
    printf("missing: %d\n", open(name, O_RDONLY) == -1 && errno == ENOENT);
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void memory(void)
{
    unsigned long sum = 0;
    for (int round = 0; round < 50; round++) {
        size_t size = 1000u + (size_t)round * 40000u;
        unsigned char *p = calloc(1, size);
        for (size_t i = 0; i < size; i += 1000)
            p[i] = (unsigned char)round;
        p = realloc(p, size * 2);
        sum += p[size / 1000 * 1000 - 1000] + p[0];
        free(p);
    }
    int *numbers = malloc(sizeof(int) * 50000);
    for (int i = 0; i < 50000; i++)
        numbers[i] = (int)(((long)i * 48271) % 65537);
    qsort(numbers, 50000, sizeof(int), compare_ints);
    printf("memory: %lu, sorted %d %d\n", sum, numbers[0], numbers[49999]);
    free(numbers);
}

int main(int argc, char **argv)
{
    char line[100];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++)
        printf("argument: '%s'\n", argv[i]);
    printf("LANG: %s\n", getenv("LANG"));
    while (fgets(line, sizeof(line), stdin))
        printf("input: %s", line);
    threads();
    signals();
    processes();
    files();
    memory();
    time_t zero = 86400 * 365;
    struct tm tm;
    gmtime_r(&zero, &tm);
    strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S", &tm);
    printf("time: %s, now is later: %d\n", line, time(NULL) > zero);
    volatile double two = 2;
    printf("math: %.12f %.6e\n", sqrt(two), pow(two, -40));
    fprintf(stderr, "end\n");
    return 17;
}
