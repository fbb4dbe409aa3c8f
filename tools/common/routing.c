/* routing.c - reads a routing's name and draws experts from it.
 *
 * Draws use integers only, so the last bits of a machine's pow() or exp() do not matter. */
#include "common/routing.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <epx/route.h>

#include "common/alloc.h"
#include "common/rng.h"
#include "common/routing_inner.h"

#define MASS_UNIT 0x1p40 /* of weight 1 */

static uint64_t mass_of(double weight)
{
    double mass = nearbyint(weight * MASS_UNIT);

    return mass < 1.0 ? 1 : (uint64_t)mass;
}

/* ---- Reading the name ------------------------------------------------------------------------ */

/* The number that all of text is, within [low, high]. */
static bool read_number(const char *text, double low, double high, double *value_out)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= low && value <= high))
        return false;
    *value_out = value;
    return true;
}

static void shuffle(int32_t *list, int32_t count, uint64_t *rng)
{
    int32_t i, j, swap;

    for (i = count - 1; i > 0; i--) {
        j = (int32_t)tool_rng_below(rng, (uint64_t)i + 1);
        swap = list[i];
        list[i] = list[j];
        list[j] = swap;
    }
}

/* r->list becomes the experts by popularity. */
static void rank_experts(routing *r)
{
    uint64_t rng = tool_rng_seed(r->seed, 0x706f70, 0);
    int32_t e;

    for (e = 0; e < r->num_experts; e++)
        r->list[e] = e;
    shuffle(r->list, r->num_experts, &rng);
}

static bool read_uniform(routing *r, const char *argument)
{
    int32_t e;

    if (argument != NULL)
        return false;
    for (e = 0; e < r->num_experts; e++)
        r->mass[e] = 1;
    return true;
}

static bool read_zipf(routing *r, const char *argument)
{
    double exponent;
    int32_t i;

    if (argument == NULL || !read_number(argument, 0.0, 10.0, &exponent))
        return false;
    rank_experts(r);
    for (i = 0; i < r->num_experts; i++)
        r->mass[r->list[i]] = mass_of(pow(i + 1.0, -exponent));
    return true;
}

static bool read_twohot(routing *r, const char *argument)
{
    double share;
    int32_t i;

    if (argument == NULL || !read_number(argument, 0.0, 1.0, &share) || r->num_experts < 3)
        return false;
    rank_experts(r);
    for (i = 0; i < r->num_experts; i++)
        r->mass[r->list[i]] = mass_of(i < 2 ? share / 2 : (1.0 - share) / (r->num_experts - 2));
    return true;
}

static bool read_groups(routing *r, const char *argument)
{
    unsigned use, total;
    char rest;

    if (argument == NULL || sscanf(argument, "%u/%u%c", &use, &total, &rest) != 2)
        return false;
    if (use < 1 || use > total || total > (unsigned)r->num_experts)
        return false;
    if ((uint64_t)use * ((unsigned)r->num_experts / total) < r->topk)
        return false; /* the smallest groups hold too few experts for a token */
    r->kind = ROUTING_GROUPS;
    r->use_groups = use;
    r->num_groups = total;
    return true;
}

static bool read_drift(routing *r, const char *argument)
{
    if (argument == NULL)
        return false;
    r->kind = ROUTING_DRIFT;
    r->drift.sigma = strcmp(argument, "strong") == 0 ? 0.15 : 0.03;
    r->drift.jump_every = strcmp(argument, "regime") == 0 ? 50 : 0;
    routing_drift_start(r);
    return strcmp(argument, "mild") == 0 || strcmp(argument, "strong") == 0 ||
           strcmp(argument, "regime") == 0;
}

static const struct {
    const char *name;
    bool (*read)(routing *r, const char *argument);
} generators[] = {{"uniform", read_uniform},
                  {"zipf", read_zipf},
                  {"twohot", read_twohot},
                  {"groups", read_groups},
                  {"drift", read_drift}};

static int read_generator(routing *r, const char *spec, char *error, size_t error_bytes)
{
    const char *colon = strchr(spec, ':');
    size_t length = colon == NULL ? strlen(spec) : (size_t)(colon - spec), i;

    for (i = 0; i < sizeof(generators) / sizeof(generators[0]); i++) {
        if (strlen(generators[i].name) != length || strncmp(spec, generators[i].name, length) != 0)
            continue;
        if (generators[i].read(r, colon == NULL ? NULL : colon + 1))
            return 0;
        snprintf(error, error_bytes, "routing '%s' does not work for top-%u of %d experts", spec,
                 r->topk, r->num_experts);
        return 2;
    }
    snprintf(error, error_bytes,
             "routing '%s' is none of uniform, zipf:S, groups:M/G, twohot:SHARE, drift:mild, "
             "drift:strong, drift:regime, file:PATH, text:PATH",
             spec);
    return 2;
}

static int read_spec(routing *r, const char *spec, char *error, size_t error_bytes)
{
    if (strncmp(spec, "file:", 5) == 0) {
        r->kind = ROUTING_FILE;
        return routing_file_read(r, spec + 5, error, error_bytes) ? 0 : 3;
    }
    if (r->topk > (uint32_t)r->num_experts) {
        snprintf(error, error_bytes, "top-%u needs as many experts, there are %d", r->topk,
                 r->num_experts);
        return 2;
    }
    if (strncmp(spec, "text:", 5) == 0) {
        r->kind = ROUTING_TEXT;
        routing_text_start(r);
        return text_read(spec + 5, &r->text, error, error_bytes) ? 0 : 3;
    }
    return read_generator(r, spec, error, error_bytes);
}

int routing_open(const char *spec, int32_t num_experts, uint32_t topk, uint64_t seed,
                 routing **routing_out, char *error, size_t error_bytes)
{
    routing *r;
    int status;

    if (num_experts < 1 || num_experts > EPX_MAX_EXPERTS || topk < 1 || topk > EPX_MAX_TOPK) {
        snprintf(error, error_bytes, "top-%u of %d experts: top-1..%d of 1..%d are possible", topk,
                 num_experts, EPX_MAX_TOPK, EPX_MAX_EXPERTS);
        return 2;
    }
    r = tool_alloc("routing", 1, sizeof(*r));
    r->num_experts = num_experts;
    r->topk = topk;
    r->seed = seed;
    r->mass = tool_alloc("routing", (size_t)num_experts, sizeof(*r->mass));
    r->left = tool_alloc("routing", (size_t)num_experts, sizeof(*r->left));
    r->list = tool_alloc("routing", (size_t)num_experts, sizeof(*r->list));
    status = read_spec(r, spec, error, error_bytes);
    if (status != 0) {
        routing_close(r);
        return status;
    }
    *routing_out = r;
    return 0;
}

void routing_close(routing *r)
{
    if (r == NULL)
        return;
    free(r->mass);
    free(r->left);
    free(r->list);
    free(r->drift.base);
    free(r->drift.now);
    free(r->lines);
    free(r->router);
    text_close(&r->text);
    free(r);
}

/* ---- Drawing --------------------------------------------------------------------------------- */

/* Distinct experts one after the other, each by its share of the mass that is left. r->left equals
 * r->mass before and after. */
static void draw_weighted(routing *r, uint64_t total, uint64_t *rng, int32_t *ids)
{
    uint32_t j;

    for (j = 0; j < r->topk; j++) {
        uint64_t at = tool_rng_below(rng, total);
        int32_t e = 0;

        while (at >= r->left[e])
            at -= r->left[e++];
        ids[j] = e;
        total -= r->left[e];
        r->left[e] = 0;
    }
    for (j = 0; j < r->topk; j++)
        r->left[ids[j]] = r->mass[ids[j]];
}

static void draw_groups(routing *r, uint64_t *rng, int32_t *ids)
{
    uint32_t groups[EPX_MAX_EXPERTS], i, j, swap, count = 0;
    uint64_t experts = (uint64_t)r->num_experts;

    for (i = 0; i < r->num_groups; i++)
        groups[i] = i;
    for (i = 0; i < r->use_groups; i++) {
        uint64_t e;

        j = i + (uint32_t)tool_rng_below(rng, r->num_groups - i);
        swap = groups[i]; /* NOLINT(clang-analyzer-core*): use_groups <= num_groups */
        groups[i] = groups[j];
        groups[j] = swap;
        for (e = groups[i] * experts / r->num_groups; e < (groups[i] + 1) * experts / r->num_groups;
             e++)
            r->list[count++] = (int32_t)e;
    }
    for (i = 0; i < r->topk; i++) {
        j = i + (uint32_t)tool_rng_below(rng, count - i);
        ids[i] = r->list[j];
        r->list[j] = r->list[i];
    }
}

void routing_normalise(float *weights, uint32_t topk)
{
    float sum = 0.0f;
    uint32_t j;

    for (j = 0; j < topk; j++)
        sum += weights[j];
    for (j = 0; j < topk; j++)
        weights[j] /= sum;
}

static void draw_weights(uint64_t *rng, uint32_t topk, float *weights)
{
    uint32_t j;

    for (j = 0; j < topk; j++)
        weights[j] = 1.5f + tool_rng_signed(rng);
    routing_normalise(weights, topk);
}

static void fill_drawn(routing *r, uint64_t step, int32_t rank, uint64_t num_tokens, int32_t *ids,
                       float *weights)
{
    uint64_t rng, total = 0, t;
    int32_t e;

    if (r->kind == ROUTING_DRIFT)
        routing_drift_to(r, step);
    rng = tool_rng_seed(r->seed, r->kind == ROUTING_DRIFT ? step + 1 : 1, (uint64_t)rank);
    for (e = 0; e < r->num_experts; e++) {
        r->left[e] = r->mass[e];
        total += r->mass[e];
    }
    for (t = 0; t < num_tokens; t++) {
        float spare[EPX_MAX_TOPK];

        if (r->kind == ROUTING_GROUPS)
            draw_groups(r, &rng, ids + t * r->topk);
        else
            draw_weighted(r, total, &rng, ids + t * r->topk);
        draw_weights(&rng, r->topk, weights == NULL ? spare : weights + t * r->topk);
    }
}

void routing_fill(routing *r, uint64_t step, int32_t rank, uint64_t num_tokens, int32_t *ids,
                  float *weights)
{
    uint64_t first = (uint64_t)rank * num_tokens, t, rng;

    if (r->kind != ROUTING_FILE && r->kind != ROUTING_TEXT) {
        fill_drawn(r, step, rank, num_tokens, ids, weights);
        return;
    }
    rng = tool_rng_seed(r->seed, 1, (uint64_t)rank);
    for (t = 0; t < num_tokens; t++) {
        float spare[EPX_MAX_TOPK], *w = weights == NULL ? spare : weights + t * r->topk;

        if (r->kind == ROUTING_TEXT) {
            routing_text_fill(r, first + t, ids + t * r->topk, w);
            continue;
        }
        memcpy(ids + t * r->topk, r->lines + (first + t) % r->num_lines * r->topk,
               r->topk * sizeof(*ids));
        draw_weights(&rng, r->topk, w);
    }
}

int routing_drifts(const routing *r)
{
    return r->kind == ROUTING_DRIFT;
}
