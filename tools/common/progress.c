/* progress.c - redraws at most ten times a second, in place. */
#include "common/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define PATIENCE_NS UINT64_C(1000000000)
#define REDRAW_NS UINT64_C(100000000)
#define WIDTH 40

void progress_start(progress *p, const char *what, uint64_t total, bool speaks)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    *p = (progress){.what = what, .total = total, .started_ns = clock_ns()};
    p->on = speaks && total > 0 && isatty(STDERR_FILENO) == 1;
    p->color = (no_color == NULL || *no_color == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

void progress_step(progress *p, uint64_t done)
{
    static const char full[] = "########################################";
    uint64_t now;
    int filled;

    if (!p->on)
        return;
    now = clock_ns();
    if (now - p->started_ns < PATIENCE_NS || now - p->shown_ns < REDRAW_NS)
        return;
    p->shown_ns = now;
    filled = (int)(WIDTH * (done < p->total ? done : p->total) / p->total);
    fprintf(stderr, "\r%s [%s%.*s%s%*s] %3d%%", p->what, p->color ? "\033[32m" : "", filled, full,
            p->color ? "\033[0m" : "", WIDTH - filled, "", 100 * filled / WIDTH);
    fflush(stderr);
}

void progress_end(progress *p)
{
    if (p->shown_ns != 0)
        fprintf(stderr, "\r%*s\r", (int)strlen(p->what) + WIDTH + 10, "");
    p->on = false;
}
