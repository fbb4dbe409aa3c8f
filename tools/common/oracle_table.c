/* oracle_table.c - where experts live, as the public functions of a route tell it. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/oracle.h"

void oracle_table_init(oracle_table *table, const epx_route *route, int32_t num_ranks,
                       int32_t num_experts)
{
    uint32_t *fill;
    int32_t rank, slot, expert;

    table->num_experts = num_experts;
    table->begin = tool_alloc("route table", (size_t)num_experts + 1, sizeof(*table->begin));
    for (rank = 0; rank < num_ranks; rank++)
        for (slot = 0; slot < epx_route_num_slots(route, rank); slot++)
            table->begin[epx_route_expert(route, rank, slot) + 1]++;
    for (expert = 0; expert < num_experts; expert++)
        table->begin[expert + 1] += table->begin[expert];
    table->places = tool_alloc("route table", table->begin[num_experts], sizeof(*table->places));
    fill = tool_alloc("route table", (size_t)num_experts + 1, sizeof(*fill));
    memcpy(fill, table->begin, ((size_t)num_experts + 1) * sizeof(*fill));
    for (rank = 0; rank < num_ranks; rank++)
        for (slot = 0; slot < epx_route_num_slots(route, rank); slot++)
            table->places[fill[epx_route_expert(route, rank, slot)]++] =
                (oracle_place){.rank = rank, .slot = slot};
    free(fill);
}

void oracle_table_close(oracle_table *table)
{
    free(table->begin);
    free(table->places);
    *table = (oracle_table){0};
}

uint32_t oracle_table_places(void *table, const oracle_pair *pair, oracle_place out[EPX_MAX_SHARDS])
{
    const oracle_table *t = table;
    uint32_t first = t->begin[pair->expert], count = t->begin[pair->expert + 1] - first, i;

    for (i = 0; i < count && i < EPX_MAX_SHARDS; i++)
        out[i] = t->places[first + i];
    return i;
}
