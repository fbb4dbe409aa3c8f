/* log.c - level check, one write() per line. */
#include "core/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/env.h"

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static epx_log_level threshold = EPX_LOG_WARN;
static atomic_int log_rank = -1;
static atomic_int log_fd = -1; /* -1: not opened yet */

static void read_level(void)
{
    const char *text = epx_env_text(EPX_ENV_LOG);
    size_t i;

    for (i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (strcmp(text, level_names[i]) == 0)
            threshold = (epx_log_level)i;
}

bool epx_log_on(epx_log_level level)
{
    pthread_once(&once, read_level);
    return level <= threshold;
}

void epx_log_set_rank(int rank)
{
    int none = -1;

    atomic_compare_exchange_strong(&log_rank, &none, rank);
}

/* EPX_LOG_FILE with %h, %r and %p filled in. */
static void expand_path(const char *pattern, char *path, size_t size)
{
    size_t used = 0;

    for (; *pattern != '\0' && used + 1 < size; pattern++) {
        char piece[256] = {pattern[0], '\0'};

        if (pattern[0] == '%' && pattern[1] != '\0') {
            pattern++;
            if (*pattern == 'h')
                gethostname(piece, sizeof(piece) - 1);
            else if (*pattern == 'r')
                snprintf(piece, sizeof(piece), "%d", atomic_load(&log_rank));
            else if (*pattern == 'p')
                snprintf(piece, sizeof(piece), "%ld", (long)getpid());
        }
        used += (size_t)snprintf(path + used, size - used, "%s", piece);
        if (used >= size)
            used = size - 1;
    }
    path[used] = '\0';
}

static int open_log(void)
{
    const char *pattern = epx_env_text(EPX_ENV_LOG_FILE);
    int fd = atomic_load(&log_fd);
    char path[1024];

    if (fd >= 0)
        return fd;
    fd = STDERR_FILENO;
    if (*pattern != '\0') {
        expand_path(pattern, path, sizeof(path));
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            fd = STDERR_FILENO;
    }
    atomic_store(&log_fd, fd);
    return fd;
}

void epx_log(epx_log_level level, const char *format, ...)
{
    char line[1024];
    int rank = atomic_load(&log_rank), length;
    va_list args;

    if (!epx_log_on(level))
        return;
    if (rank >= 0)
        length = snprintf(line, sizeof(line), "epx %s rank %d: ", level_names[level], rank);
    else
        length = snprintf(line, sizeof(line), "epx %s: ", level_names[level]);
    va_start(args, format);
    length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, args);
    va_end(args);
    if (length > (int)sizeof(line) - 2)
        length = (int)sizeof(line) - 2;
    line[length++] = '\n';
    if (write(open_log(), line, (size_t)length) < 0)
        return; /* nowhere left to complain */
}
