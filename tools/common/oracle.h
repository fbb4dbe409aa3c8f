/* oracle.h - the serial truth of dispatch and combine, for the whole job on one thread.
 *
 * Written from include/epx/exchange.h alone and without any cleverness: where the library and the
 * oracle differ by one bit, one of them is wrong. */
#ifndef TOOLS_COMMON_ORACLE_H
#define TOOLS_COMMON_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include <epx/exchange.h>
#include <epx/route.h>

/* Where one slot of an expert is. */
typedef struct oracle_place {
    int32_t rank;
    int32_t slot; /* local slot on that rank */
} oracle_place;

/* One token of `source` at one slot of one of its experts. */
typedef struct oracle_pair {
    int32_t source;
    uint32_t token; /* index on source */
    uint32_t index; /* in the token's list of experts */
    int32_t expert;
    oracle_place at;
    uint32_t shard; /* which of the places that take this token */
} oracle_pair;

/* Every pointer is borrowed. Ranks of equal node_of are one node; the numbers have no meaning. */
typedef struct oracle_job {
    int32_t num_ranks;
    const int32_t *node_of; /* [num_ranks] */
    uint32_t topk;
    const uint64_t *num_tokens; /* [num_ranks] */
    const int32_t *const *ids;  /* [num_ranks][num_tokens][topk], -1: none */
    const float *const
        *weights;          /* [num_ranks][num_tokens][topk]; NULL, or NULL for a rank: all 1 */
    uint32_t combine_type; /* epx_type */
    uint32_t combine_elems;
    /* Which places take this token, in slot order: several only for shards. Returns how many. */
    uint32_t (*places)(void *arg, const oracle_pair *pair, oracle_place out[EPX_MAX_SHARDS]);
    void *places_arg;
    /* What the expert answers: combine_elems elements of combine_type. For combine only. */
    void (*expert)(void *arg, const oracle_pair *pair, void *y);
    void *expert_arg;
} oracle_job;

/* Nodes numbered by their lowest rank. Returns how many. */
int32_t oracle_nodes(int32_t num_ranks, const int32_t *node_of, int32_t *number_out);

/* What epx_combine must give `source`: [num_tokens][combine_elems]. */
void oracle_combine(const oracle_job *job, int32_t source, void *rows_out);

/* The side channel of combine: [num_tokens][topk], pair_side summed over shards in slot order. */
void oracle_combine_side(const oracle_job *job, int32_t source,
                         float (*pair_side)(void *arg, const oracle_pair *pair), void *arg,
                         float *side_out);

/* The pairs that dispatch brings to `rank`, in order. *pairs_out: free() it. Returns how many. */
uint64_t oracle_pairs(const oracle_job *job, int32_t rank, oracle_pair **pairs_out);

typedef struct oracle_counts {
    uint64_t pairs;         /* (token, slot) */
    uint64_t far_pairs;     /* of them to another node: what a flat exchange moves */
    uint64_t rank_rows;     /* distinct (token, rank) */
    uint64_t far_rank_rows; /* of them to another node */
    uint64_t node_rows;     /* distinct (token, remote node): what has to cross */
    uint64_t max_pairs;     /* of the busiest rank */
    double imbalance;       /* busiest / mean rank, in pairs; 0 without pairs */
} oracle_counts;

/* rank_pairs_out[num_ranks] may be NULL. */
void oracle_count(const oracle_job *job, oracle_counts *counts_out, uint64_t *rank_pairs_out);

/* ---- Places by a route whose experts have one slot, or shards ------------------------------- */

typedef struct oracle_table {
    int32_t num_experts;
    uint32_t *begin;      /* [num_experts + 1]; owns, as below */
    oracle_place *places; /* by expert, then rank */
} oracle_table;

void oracle_table_init(oracle_table *table, const epx_route *route, int32_t num_ranks,
                       int32_t num_experts);
void oracle_table_close(oracle_table *table);
/* For oracle_job.places, with the table as places_arg. */
uint32_t oracle_table_places(void *table, const oracle_pair *pair,
                             oracle_place out[EPX_MAX_SHARDS]);

#endif /* TOOLS_COMMON_ORACLE_H */
