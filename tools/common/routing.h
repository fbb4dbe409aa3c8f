/* routing.h - which experts the tokens of a benchmark want: seeded, and the same on every machine.
 *
 *   uniform            distinct experts, all equally likely
 *   zipf:S             distinct experts, the n-th most popular with weight n^-S
 *   groups:M/G         M of G groups of experts first, then distinct experts of those
 *   twohot:SHARE       two experts have SHARE of the weight, the others share the rest
 *   drift:mild|strong|regime   popularity walks from step to step (regime: and sometimes jumps)
 *   file:PATH          a line per token: expert ids, separated by blanks or commas; # comments
 *   text:PATH          the words of a text, through a hashed embedding and a fixed router
 *
 * Any rank can compute every other rank's tokens. */
#ifndef TOOLS_COMMON_ROUTING_H
#define TOOLS_COMMON_ROUTING_H

#include <stddef.h>
#include <stdint.h>

typedef struct routing routing;

/* Exit status: 0, 2 (spec is wrong) or 3 (a file is); else with one sentence in error. */
int routing_open(const char *spec, int32_t num_experts, uint32_t topk, uint64_t seed,
                 routing **routing_out, char *error, size_t error_bytes);
void routing_close(routing *r); /* accepts NULL */

/* ids, weights [num_tokens][topk] of a rank at a step; weights of a token sum to 1. Steps matter
 * to drift only, which is fastest when they ascend. weights may be NULL. */
void routing_fill(routing *r, uint64_t step, int32_t rank, uint64_t num_tokens, int32_t *ids,
                  float *weights);

/* Do steps differ? */
int routing_drifts(const routing *r);

#endif /* TOOLS_COMMON_ROUTING_H */
