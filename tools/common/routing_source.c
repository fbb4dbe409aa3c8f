/* routing_source.c - routings that change from step to step, or come from a file. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <epx/route.h>

#include "common/alloc.h"
#include "common/rng.h"
#include "common/routing_inner.h"

/* ---- Drift: a mean-reverting walk of log popularity -------------------------------------------
 */

#define DRIFT_PULL 0.05
#define DRIFT_JUMP 0.2 /* share of the experts that a new regime touches */

/* Close to a standard normal, without logarithms: the sum of twelve uniforms. */
static double draw_normal(uint64_t *rng)
{
    double sum = -6.0;
    int i;

    for (i = 0; i < 12; i++)
        sum += (double)(tool_rng_next(rng) >> 11) * 0x1p-53;
    return sum;
}

static void set_masses(routing *r)
{
    int32_t e;

    for (e = 0; e < r->num_experts; e++) {
        double mass = nearbyint(exp(fmin(r->drift.now[e], 10.0)) * 0x1p30);

        r->mass[e] = mass < 1.0 ? 1 : (uint64_t)mass;
    }
}

void routing_drift_start(routing *r)
{
    size_t experts = (size_t)r->num_experts, e;

    if (r->drift.base == NULL) {
        r->drift.base = tool_alloc("routing", experts, sizeof(*r->drift.base));
        r->drift.now = tool_alloc("routing", experts, sizeof(*r->drift.now));
    }
    r->drift.step = 0;
    r->drift.rng = tool_rng_seed(r->seed, 0x6472696674, 0);
    for (e = 0; e < experts; e++)
        r->drift.now[e] = r->drift.base[e] = draw_normal(&r->drift.rng);
    set_masses(r);
}

static void walk(routing *r)
{
    routing_drift *d = &r->drift;
    int32_t e;

    d->step++;
    for (e = 0; e < r->num_experts; e++) {
        if (d->jump_every != 0 && d->step % d->jump_every == 0 &&
            (double)(tool_rng_next(&d->rng) >> 11) * 0x1p-53 < DRIFT_JUMP)
            d->base[e] = draw_normal(&d->rng);
        d->now[e] += DRIFT_PULL * (d->base[e] - d->now[e]) + d->sigma * draw_normal(&d->rng);
    }
}

void routing_drift_to(routing *r, uint64_t step)
{
    if (step == r->drift.step)
        return;
    if (step < r->drift.step)
        routing_drift_start(r);
    while (r->drift.step < step)
        walk(r);
    set_masses(r);
}

/* ---- A file: one token a line -----------------------------------------------------------------
 */

#define SEPARATORS " \t\r\n,;"

/* The ids of one line, padded with -1. False with a sentence. */
static bool read_line(const routing *r, char *line, uint64_t number, const char *path, int32_t *ids,
                      char *error, size_t error_bytes)
{
    char *word, *end, *state = NULL;
    uint32_t count = 0, j;

    for (word = strtok_r(line, SEPARATORS, &state); word != NULL;
         word = strtok_r(NULL, SEPARATORS, &state)) {
        long id = strtol(word, &end, 10);

        if (end == word || *end != '\0' || id < -1 || id >= r->num_experts) {
            snprintf(error, error_bytes, "%s line %llu: '%.20s' is no expert of 0..%d", path,
                     (unsigned long long)number, word, r->num_experts - 1);
            return false;
        }
        if (count == r->topk) {
            snprintf(error, error_bytes, "%s line %llu: more than %u experts", path,
                     (unsigned long long)number, r->topk);
            return false;
        }
        ids[count++] = (int32_t)id;
    }
    for (j = count; j < r->topk; j++)
        ids[j] = -1;
    return true;
}

/* Comments and empty lines are no tokens. */
static bool is_token(char *line)
{
    char *hash = strchr(line, '#');

    if (hash != NULL)
        *hash = '\0';
    return line[strspn(line, SEPARATORS)] != '\0';
}

static bool read_lines(routing *r, FILE *file, const char *path, char *error, size_t error_bytes)
{
    char *line = NULL;
    size_t room = 0;
    uint64_t number = 0, capacity = 0;
    bool good = true;

    while (good && getline(&line, &room, file) >= 0) {
        number++;
        if (!is_token(line))
            continue;
        if (r->num_lines == capacity) {
            int32_t *more;

            capacity = capacity == 0 ? 1024 : 2 * capacity;
            more = tool_alloc("routing file", capacity * r->topk, sizeof(*more));
            if (r->num_lines > 0)
                memcpy(more, r->lines, r->num_lines * r->topk * sizeof(*more));
            free(r->lines);
            r->lines = more;
        }
        good =
            read_line(r, line, number, path, r->lines + r->num_lines * r->topk, error, error_bytes);
        r->num_lines += good;
    }
    if (good && ferror(file)) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
        good = false;
    } else if (good && r->num_lines == 0) {
        snprintf(error, error_bytes, "%s: no token in %llu lines", path,
                 (unsigned long long)number);
        good = false;
    }
    free(line);
    return good;
}

bool routing_file_read(routing *r, const char *path, char *error, size_t error_bytes)
{
    FILE *file = fopen(path, "re");
    bool good;

    if (file == NULL) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
        return false;
    }
    good = read_lines(r, file, path, error, error_bytes);
    fclose(file);
    return good;
}

/* ---- A text -----------------------------------------------------------------------------------
 */

void routing_text_start(routing *r)
{
    size_t count = (size_t)r->num_experts * ROUTING_TEXT_DIM, i;
    uint64_t rng = tool_rng_seed(r->seed, 0x74657874, 0);

    r->router = tool_alloc("routing", count, sizeof(*r->router));
    for (i = 0; i < count; i++)
        r->router[i] = (int16_t)((int)(tool_rng_next(&rng) >> 56) - 128);
}

void routing_text_fill(const routing *r, uint64_t index, int32_t *ids, float *weights)
{
    int16_t row[ROUTING_TEXT_DIM];
    int64_t best[EPX_MAX_TOPK] = {0}, lowest = INT64_MAX;
    uint32_t found = 0, at, j, i;
    int32_t e;

    text_embed_small(&r->text, index, ROUTING_TEXT_DIM, row);
    for (e = 0; e < r->num_experts; e++) {
        int64_t logit = 0;

        for (i = 0; i < ROUTING_TEXT_DIM; i++)
            logit += row[i] * r->router[(size_t)e * ROUTING_TEXT_DIM + i];
        lowest = logit < lowest ? logit : lowest;
        for (at = found; at > 0 && best[at - 1] < logit; at--)
            continue;
        if (at == r->topk)
            continue;
        for (j = found < r->topk ? found++ : found - 1; j > at; j--) {
            best[j] = best[j - 1];
            ids[j] = ids[j - 1];
        }
        best[at] = logit;
        ids[at] = e;
    }
    for (j = 0; j < r->topk; j++)
        weights[j] = (float)(best[j] - lowest + 1);
    routing_normalise(weights, r->topk);
}
