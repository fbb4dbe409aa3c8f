/* oracle.c - dispatch and combine as a loop over tokens.
 *
 * The one invariant: a token's pairs are visited by (node, rank, expert, shard, index in its list),
 * and added up in exactly that order. */
#include "common/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/num.h"

#define MAX_TOKEN_PAIRS (EPX_MAX_TOPK * EPX_MAX_SHARDS)

int32_t oracle_nodes(int32_t num_ranks, const int32_t *node_of, int32_t *number_out)
{
    int32_t rank, earlier, nodes = 0;

    for (rank = 0; rank < num_ranks; rank++) {
        for (earlier = 0; earlier < rank && node_of[earlier] != node_of[rank]; earlier++)
            continue;
        number_out[rank] = earlier < rank ? number_out[earlier] : nodes++;
    }
    return nodes;
}

/* ---- The pairs of one token ------------------------------------------------------------------ */

/* All pairs of a token, in the order of its list. */
static uint32_t list_pairs(const oracle_job *job, int32_t source, uint64_t token,
                           oracle_pair *pairs)
{
    oracle_place places[EPX_MAX_SHARDS];
    uint32_t index, i, found, count = 0;

    for (index = 0; index < job->topk; index++) {
        oracle_pair pair = {.source = source, .token = (uint32_t)token, .index = index};

        pair.expert = job->ids[source][token * job->topk + index];
        if (pair.expert < 0)
            continue;
        found = job->places(job->places_arg, &pair, places);
        for (i = 0; i < found; i++) {
            pair.at = places[i];
            pair.shard = i;
            pairs[count++] = pair;
        }
    }
    return count;
}

/* Is a before b in the tree of combine? */
static bool before(const oracle_pair *a, const oracle_pair *b, const int32_t *node)
{
    if (node[a->at.rank] != node[b->at.rank])
        return node[a->at.rank] < node[b->at.rank];
    if (a->at.rank != b->at.rank)
        return a->at.rank < b->at.rank;
    if (a->expert != b->expert)
        return a->expert < b->expert;
    if (a->shard != b->shard)
        return a->shard < b->shard;
    return a->index < b->index;
}

static uint32_t tree_pairs(const oracle_job *job, const int32_t *node, int32_t source,
                           uint64_t token, oracle_pair *pairs)
{
    uint32_t count = list_pairs(job, source, token, pairs), i, at;

    for (i = 1; i < count; i++) {
        oracle_pair pair = pairs[i];

        for (at = i; at > 0 && before(&pair, &pairs[at - 1], node); at--)
            pairs[at] = pairs[at - 1];
        pairs[at] = pair;
    }
    return count;
}

static float weight_of(const oracle_job *job, const oracle_pair *pair)
{
    if (job->weights == NULL || job->weights[pair->source] == NULL)
        return 1.0f;
    return job->weights[pair->source][(uint64_t)pair->token * job->topk + pair->index];
}

/* ---- Combine --------------------------------------------------------------------------------- */

/* One element of the result: ys[i] is what pairs[i] answered. */
static float sum_element(const oracle_job *job, const int32_t *node, const oracle_pair *pairs,
                         uint32_t count, const unsigned char *ys, size_t y_bytes, size_t element)
{
    epx_type type = (epx_type)job->combine_type;
    float result = 0.0f, node_sum = 0.0f, rank_sum = 0.0f;
    bool any_node = false, any_rank = false, any_term = false;
    uint32_t i;

    for (i = 0; i < count; i++) {
        float term = weight_of(job, &pairs[i]) * num_get(type, ys + i * y_bytes, element);
        bool rank_ends = i + 1 == count || pairs[i + 1].at.rank != pairs[i].at.rank;
        bool node_ends = i + 1 == count || node[pairs[i + 1].at.rank] != node[pairs[i].at.rank];

        rank_sum = any_term ? rank_sum + term : term;
        any_term = true;
        if (!rank_ends)
            continue;
        node_sum = any_rank ? node_sum + rank_sum : rank_sum;
        any_rank = true;
        any_term = false;
        if (!node_ends)
            continue;
        result = any_node ? result + num_round(type, node_sum) : num_round(type, node_sum);
        any_node = true;
        any_rank = false;
    }
    return result;
}

void oracle_combine(const oracle_job *job, int32_t source, void *rows_out)
{
    epx_type type = (epx_type)job->combine_type;
    size_t y_bytes = job->combine_elems * epx_type_size(type), element;
    oracle_pair *pairs = tool_alloc("oracle", MAX_TOKEN_PAIRS, sizeof(*pairs));
    unsigned char *ys = tool_alloc("oracle", MAX_TOKEN_PAIRS, y_bytes);
    int32_t *node = tool_alloc("oracle", (size_t)job->num_ranks, sizeof(*node));
    uint64_t token;
    uint32_t count, i;

    oracle_nodes(job->num_ranks, job->node_of, node);
    for (token = 0; token < job->num_tokens[source]; token++) {
        unsigned char *row = (unsigned char *)rows_out + token * y_bytes;

        count = tree_pairs(job, node, source, token, pairs);
        for (i = 0; i < count; i++)
            job->expert(job->expert_arg, &pairs[i], ys + i * y_bytes);
        for (element = 0; element < job->combine_elems; element++)
            num_put(type, row, element, sum_element(job, node, pairs, count, ys, y_bytes, element));
    }
    free(node);
    free(ys);
    free(pairs);
}

void oracle_combine_side(const oracle_job *job, int32_t source,
                         float (*pair_side)(void *arg, const oracle_pair *pair), void *arg,
                         float *side_out)
{
    oracle_pair *pairs = tool_alloc("oracle", MAX_TOKEN_PAIRS, sizeof(*pairs));
    uint64_t token;
    uint32_t count, i;

    for (token = 0; token < job->num_tokens[source]; token++) {
        float *side = side_out + token * job->topk;

        for (i = 0; i < job->topk; i++)
            side[i] = 0.0f;
        count = list_pairs(job, source, token, pairs);
        for (i = 0; i < count; i++) {
            float value = pair_side(arg, &pairs[i]);

            side[pairs[i].index] = pairs[i].shard == 0 ? value : side[pairs[i].index] + value;
        }
    }
    free(pairs);
}

/* ---- Dispatch -------------------------------------------------------------------------------- */

/* qsort has no argument: the node number of the source travels with each pair. */
typedef struct arrival {
    oracle_pair pair;
    int32_t source_node;
} arrival;

static int compare_arrivals(const void *left, const void *right)
{
    const arrival *a = left, *b = right;

    if (a->pair.at.slot != b->pair.at.slot)
        return a->pair.at.slot < b->pair.at.slot ? -1 : 1;
    if (a->source_node != b->source_node)
        return a->source_node < b->source_node ? -1 : 1;
    if (a->pair.source != b->pair.source)
        return a->pair.source < b->pair.source ? -1 : 1;
    if (a->pair.token != b->pair.token)
        return a->pair.token < b->pair.token ? -1 : 1;
    return (a->pair.index > b->pair.index) - (a->pair.index < b->pair.index);
}

static uint64_t collect_arrivals(const oracle_job *job, const int32_t *node, int32_t rank,
                                 arrival *out)
{
    oracle_pair pairs[MAX_TOKEN_PAIRS];
    uint64_t token, total = 0;
    uint32_t count, i;
    int32_t source;

    for (source = 0; source < job->num_ranks; source++) {
        for (token = 0; token < job->num_tokens[source]; token++) {
            count = list_pairs(job, source, token, pairs);
            for (i = 0; i < count; i++) {
                if (pairs[i].at.rank != rank)
                    continue;
                if (out != NULL)
                    out[total] = (arrival){.pair = pairs[i], .source_node = node[source]};
                total++;
            }
        }
    }
    return total;
}

uint64_t oracle_pairs(const oracle_job *job, int32_t rank, oracle_pair **pairs_out)
{
    int32_t *node = tool_alloc("oracle", (size_t)job->num_ranks, sizeof(*node));
    arrival *arrivals;
    uint64_t total, i;

    oracle_nodes(job->num_ranks, job->node_of, node);
    total = collect_arrivals(job, node, rank, NULL);
    arrivals = tool_alloc("oracle", total, sizeof(*arrivals));
    collect_arrivals(job, node, rank, arrivals);
    if (total > 0)
        qsort(arrivals, total, sizeof(*arrivals), compare_arrivals);
    *pairs_out = tool_alloc("oracle", total, sizeof(**pairs_out));
    for (i = 0; i < total; i++)
        (*pairs_out)[i] = arrivals[i].pair;
    free(arrivals);
    free(node);
    return total;
}
