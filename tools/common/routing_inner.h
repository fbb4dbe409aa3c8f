/* routing_inner.h - one kind of routing: what it keeps and how it draws. For routing*.c only. */
#ifndef TOOLS_COMMON_ROUTING_INNER_H
#define TOOLS_COMMON_ROUTING_INNER_H

#include <stdbool.h>

#include "common/routing.h"
#include "common/text.h"

#define ROUTING_TEXT_DIM 64 /* of the small embedding behind text:PATH */

typedef enum routing_kind {
    ROUTING_WEIGHTED, /* uniform, zipf, twohot: fixed mass per expert */
    ROUTING_GROUPS,
    ROUTING_DRIFT,
    ROUTING_FILE,
    ROUTING_TEXT
} routing_kind;

typedef struct routing_drift {
    double sigma;        /* of one step of the walk */
    uint64_t jump_every; /* steps, 0: never */
    uint64_t step;       /* where the walk is */
    uint64_t rng;
    double *base; /* [num_experts] log popularity that the walk returns to; owns, as below */
    double *now;  /* [num_experts] */
} routing_drift;

struct routing {
    routing_kind kind;
    int32_t num_experts;
    uint32_t topk;
    uint64_t seed;
    uint64_t *mass; /* [num_experts] relative, at least 1; owns, as all below */
    uint64_t *left; /* [num_experts] scratch: mass not yet drawn */
    int32_t *list;  /* [num_experts] scratch */
    uint32_t use_groups, num_groups;
    routing_drift drift;
    int32_t *lines; /* [num_lines][topk] */
    uint64_t num_lines;
    tool_text text;
    int16_t *router; /* [num_experts][ROUTING_TEXT_DIM] */
};

/* Starts the walk anew. */
void routing_drift_start(routing *r);
/* Walks to `step` and sets r->mass. */
void routing_drift_to(routing *r, uint64_t step);

/* Reads file:PATH into lines. False with one sentence in error. */
bool routing_file_read(routing *r, const char *path, char *error, size_t error_bytes);

/* The topk experts of the text's token `index`, best first, and weights that sum to 1. */
void routing_text_fill(const routing *r, uint64_t index, int32_t *ids, float *weights);
void routing_text_start(routing *r);

/* Scales positive weights[topk] to sum 1. */
void routing_normalise(float *weights, uint32_t topk);

#endif /* TOOLS_COMMON_ROUTING_INNER_H */
