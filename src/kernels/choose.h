/* choose.h - the k best of a stream of scores, best first; equal scores keep the order in which
 * they came, so ascending ids mean lowest id first. */
#ifndef EPX_KERNELS_CHOOSE_H
#define EPX_KERNELS_CHOOSE_H

#include <stdint.h>

#include <epx/route.h>

typedef struct epx_best {
    float score[EPX_MAX_TOPK];
    int32_t id[EPX_MAX_TOPK];
    uint32_t count; /* at most wanted */
    uint32_t wanted;
} epx_best;

/* A NaN score is never better than another. */
static inline void epx_best_offer(epx_best *best, float score, int32_t id)
{
    uint32_t place;

    if (best->count == best->wanted && !(score > best->score[best->count - 1]))
        return;
    place = best->count < best->wanted ? best->count++ : best->count - 1;
    for (; place > 0 && score > best->score[place - 1]; place--) {
        best->score[place] = best->score[place - 1];
        best->id[place] = best->id[place - 1];
    }
    best->score[place] = score;
    best->id[place] = id;
}

#endif /* EPX_KERNELS_CHOOSE_H */
