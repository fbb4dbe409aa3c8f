/* stats.h - what a series of measurements says. Empty series give NaN. */
#ifndef TOOLS_COMMON_STATS_H
#define TOOLS_COMMON_STATS_H

#include <stddef.h>
#include <stdint.h>

typedef struct stats {
    size_t count;
    double min;
    double median; /* mean of the middle two when count is even */
    double p99;    /* the smallest value that 99 % do not exceed */
    double mean;
    double cv; /* standard deviation / mean */
} stats;

stats stats_of(const double *values, size_t count);
double stats_median(const double *values, size_t count);

/* The values of a[i] / b[i]: pairs were measured next to each other, so drift cancels. */
void stats_ratios(const double *a, const double *b, size_t count, double *ratios_out);

/* Where the median lies with 95 % confidence: percentile bootstrap of 1000 resamples, seeded. */
void stats_interval(const double *values, size_t count, uint64_t seed, double *low_out,
                    double *high_out);

#endif /* TOOLS_COMMON_STATS_H */
