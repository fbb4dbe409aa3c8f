/* progress.h - a bar on stderr while work takes longer than a second, on a terminal only. */
#ifndef TOOLS_COMMON_PROGRESS_H
#define TOOLS_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *what; /* borrows */
    uint64_t total;
    uint64_t started_ns;
    uint64_t shown_ns; /* 0: never */
    bool on;
    bool color;
} progress;

/* speaks: only one rank should. */
void progress_start(progress *p, const char *what, uint64_t total, bool speaks);
void progress_step(progress *p, uint64_t done);
void progress_end(progress *p); /* takes the bar away */

#endif /* TOOLS_COMMON_PROGRESS_H */
