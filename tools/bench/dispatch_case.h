/* dispatch_case.h - the tokens of a dispatch benchmark, and the oracle's view of the whole job.
 *
 * Every rank knows every rank's routing, so windows are sized and results checked without asking.
 * Experts answer a cheap function of the row that tells experts apart. */
#ifndef TOOLS_BENCH_DISPATCH_CASE_H
#define TOOLS_BENCH_DISPATCH_CASE_H

#include <epx/exchange.h>
#include <epx/route.h>

#include "bench/settings.h"
#include "common/oracle.h"

typedef struct dispatch_case {
    const bench_settings *set; /* borrows */
    int32_t rank, ranks;
    uint64_t tokens;
    uint32_t topk, elems, row_bytes;
    void *rows;           /* [tokens] of this rank; owns, as all below */
    void *combined;       /* [tokens] what combine gives */
    uint64_t *num_tokens; /* [ranks] */
    int32_t **ids;        /* [ranks][tokens][topk] of the current step */
    float **weights;
    epx_route *route;
    oracle_table table;
    oracle_job job;
    uint64_t step;
    /* Over all steps that will be run, warm-up and timed. */
    uint64_t max_pairs;   /* of the busiest rank in any step */
    double mean_far_rows; /* (token, remote node) rows of a timed step */
    double mean_pairs;    /* (token, expert) pairs of a timed step, all ranks */
} dispatch_case;

/* node_of is borrowed. */
epx_status dispatch_case_open(dispatch_case *c, const bench_settings *set, int32_t rank,
                              int32_t ranks, const int32_t *node_of);
void dispatch_case_close(dispatch_case *c);

/* The routing of step `step` becomes the current one. */
void dispatch_case_step(dispatch_case *c, uint64_t step);

/* What expert `expert` answers to a row. */
void dispatch_case_answer(const dispatch_case *c, int32_t expert, const void *row, void *y);
/* Answers all pairs of this rank, in place for combine. */
void dispatch_case_experts(const dispatch_case *c, const epx_dispatch_out *window);

/* check.c: how many elements of what dispatch brought differ from the oracle. */
uint64_t check_window(const dispatch_case *c, const epx_dispatch_out *window);
/* The same for the combined rows. */
uint64_t check_combined(const dispatch_case *c);
/* How many of the numbers that the handle tells are not the oracle's. */
uint64_t check_counts(const dispatch_case *c, const epx_handle *handle);
/* Elements further than rounding can explain from float64, for rows added up in another order. */
uint64_t check_roughly(const dispatch_case *c, const void *rows);

#endif /* TOOLS_BENCH_DISPATCH_CASE_H */
