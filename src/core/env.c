/* env.c - reading the EPX_* variables, and guessing what a misspelt one meant. */
#include "core/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

extern char **environ;

static const epx_env_entry table[EPX_ENV_COUNT] = {
#define EPX_X(id, fallback, help) {"EPX_" #id, fallback, help},
    EPX_ENV_LIST(EPX_X)
#undef EPX_X
};

_Static_assert(EPX_ENV_COUNT <= 25, "more EPX_* variables than a user wants to read about");

const epx_env_entry *epx_env_table(void)
{
    return table;
}

const char *epx_env_text(epx_env id)
{
    const char *text = getenv(table[id].name);

    return text != NULL && *text != '\0' ? text : table[id].fallback;
}

epx_status epx_env_number(epx_env id, uint64_t low, uint64_t high, uint64_t *value_out)
{
    const char *text = epx_env_text(id);
    char *end = NULL;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < low || value > high)
        return epx_fail(EPX_ERR_INVALID, "%s is \"%s\", expected a number from %llu to %llu",
                        table[id].name, text, (unsigned long long)low, (unsigned long long)high);
    *value_out = value;
    return EPX_OK;
}

epx_status epx_env_choice(epx_env id, const char *const *choices, size_t count, size_t *index_out)
{
    const char *text = epx_env_text(id);
    size_t i;

    for (i = 0; i < count; i++)
        if (strcmp(text, choices[i]) == 0) {
            *index_out = i;
            return EPX_OK;
        }
    return epx_fail(EPX_ERR_INVALID, "%s is \"%s\", expected %s", table[id].name, text,
                    table[id].help);
}

/* Levenshtein distance, cut off at 31 characters each. */
static size_t distance(const char *a, size_t a_length, const char *b)
{
    size_t row[32], b_length = strlen(b), i, j;

    if (a_length > 31 || b_length > 31)
        return 99;
    for (j = 0; j <= b_length; j++)
        row[j] = j;
    for (i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (j = 1; j <= b_length; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_length];
}

static void warn_if_unknown(const char *name, size_t length)
{
    size_t best = 0, best_distance = 99, i;

    for (i = 0; i < EPX_ENV_COUNT; i++) {
        size_t d = distance(name, length, table[i].name);

        if (d == 0)
            return;
        if (d < best_distance) {
            best_distance = d;
            best = i;
        }
    }
    epx_log(EPX_LOG_WARN, "unknown variable %.*s, did you mean %s?", (int)length, name,
            table[best].name);
}

void epx_env_warn_unknown(void)
{
    char **entry;

    for (entry = environ; entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');

        if (equals != NULL && strncmp(*entry, "EPX_", 4) == 0)
            warn_if_unknown(*entry, (size_t)(equals - *entry));
    }
}
