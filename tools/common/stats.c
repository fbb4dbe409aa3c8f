/* stats.c - order statistics and a bootstrap interval of the median. */
#include "common/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/rng.h"

#define RESAMPLES 1000

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double *sorted_copy(const double *values, size_t count)
{
    double *copy = tool_alloc("statistics", count, sizeof(*copy));

    if (count > 0) {
        memcpy(copy, values, count * sizeof(*copy));
        qsort(copy, count, sizeof(*copy), compare_doubles);
    }
    return copy;
}

static double middle(const double *sorted, size_t count)
{
    if (count == 0)
        return NAN;
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

stats stats_of(const double *values, size_t count)
{
    double *sorted = sorted_copy(values, count), sum = 0, squares = 0;
    stats s = {.count = count, .min = NAN, .median = NAN, .p99 = NAN, .mean = NAN, .cv = NAN};
    size_t i;

    if (count > 0) {
        s.min = sorted[0];
        s.median = middle(sorted, count);
        s.p99 = sorted[(99 * count + 99) / 100 - 1];
        for (i = 0; i < count; i++)
            sum += sorted[i];
        s.mean = sum / (double)count;
        for (i = 0; i < count; i++)
            squares += (sorted[i] - s.mean) * (sorted[i] - s.mean);
        s.cv = sqrt(squares / (double)count) / s.mean;
    }
    free(sorted);
    return s;
}

double stats_median(const double *values, size_t count)
{
    double *sorted = sorted_copy(values, count), median = middle(sorted, count);

    free(sorted);
    return median;
}

void stats_ratios(const double *a, const double *b, size_t count, double *ratios_out)
{
    size_t i;

    for (i = 0; i < count; i++)
        ratios_out[i] = a[i] / b[i];
}

void stats_interval(const double *values, size_t count, uint64_t seed, double *low_out,
                    double *high_out)
{
    double *sample = tool_alloc("statistics", count, sizeof(*sample));
    double *medians = tool_alloc("statistics", RESAMPLES, sizeof(*medians));
    uint64_t rng = tool_rng_seed(seed, count, 0);
    size_t i, round;

    for (round = 0; round < RESAMPLES && count > 0; round++) {
        for (i = 0; i < count; i++)
            sample[i] = values[tool_rng_below(&rng, count)];
        medians[round] = stats_median(sample, count);
    }
    qsort(medians, RESAMPLES, sizeof(*medians), compare_doubles);
    *low_out = count > 0 ? medians[RESAMPLES / 40] : NAN;
    *high_out = count > 0 ? medians[RESAMPLES - 1 - RESAMPLES / 40] : NAN;
    free(medians);
    free(sample);
}
