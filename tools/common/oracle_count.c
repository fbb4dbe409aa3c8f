/* oracle_count.c - how many rows each way of exchanging has to move, counted token by token. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/oracle.h"

typedef struct counting {
    const int32_t *node; /* [num_ranks] */
    uint64_t *rank_mark; /* [num_ranks] number of the last token that went there, from 1 */
    uint64_t *node_mark; /* [nodes] likewise */
    uint64_t *rank_pairs;
    oracle_counts *counts;
} counting;

static void count_place(counting *c, int32_t source, uint64_t number, oracle_place place)
{
    int32_t node = c->node[place.rank];
    bool far = node != c->node[source];

    c->rank_pairs[place.rank]++;
    c->counts->pairs++;
    c->counts->far_pairs += far;
    if (c->rank_mark[place.rank] != number) {
        c->rank_mark[place.rank] = number;
        c->counts->rank_rows++;
        c->counts->far_rank_rows += far;
    }
    if (far && c->node_mark[node] != number) {
        c->node_mark[node] = number;
        c->counts->node_rows++;
    }
}

static void count_token(counting *c, const oracle_job *job, int32_t source, uint64_t token,
                        uint64_t number)
{
    oracle_place places[EPX_MAX_SHARDS];
    uint32_t index, found, i;

    for (index = 0; index < job->topk; index++) {
        oracle_pair pair = {.source = source, .token = (uint32_t)token, .index = index};

        pair.expert = job->ids[source][token * job->topk + index];
        if (pair.expert < 0)
            continue;
        found = job->places(job->places_arg, &pair, places);
        for (i = 0; i < found; i++)
            count_place(c, source, number, places[i]);
    }
}

void oracle_count(const oracle_job *job, oracle_counts *counts_out, uint64_t *rank_pairs_out)
{
    size_t ranks = (size_t)job->num_ranks;
    int32_t *node = tool_alloc("oracle", ranks, sizeof(*node));
    uint64_t *marks = tool_alloc("oracle", ranks * 3, sizeof(*marks)), token, number = 0;
    counting c = {.node = node,
                  .rank_mark = marks,
                  .node_mark = marks + ranks,
                  .rank_pairs = marks + 2 * ranks,
                  .counts = counts_out};
    int32_t rank;

    *counts_out = (oracle_counts){0};
    oracle_nodes(job->num_ranks, job->node_of, node);
    for (rank = 0; rank < job->num_ranks; rank++)
        for (token = 0; token < job->num_tokens[rank]; token++)
            count_token(&c, job, rank, token, ++number);
    for (rank = 0; rank < job->num_ranks; rank++)
        if (c.rank_pairs[rank] > counts_out->max_pairs)
            counts_out->max_pairs = c.rank_pairs[rank];
    if (counts_out->pairs > 0)
        counts_out->imbalance =
            (double)counts_out->max_pairs * (double)ranks / (double)counts_out->pairs;
    if (rank_pairs_out != NULL)
        memcpy(rank_pairs_out, c.rank_pairs, ranks * sizeof(*rank_pairs_out));
    free(marks);
    free(node);
}
