/* options.h - one table of options that parses the command line and prints --help.
 *
 * Errors name the option and the value, on stderr, and end in exit status 2. */
#ifndef TOOLS_COMMON_OPTIONS_H
#define TOOLS_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_NUMBER, /* uint64_t within [low, high] */
    OPTION_SIZE,   /* the same, with K, M or G for 2^10, 2^20, 2^30 */
    OPTION_CHOICE, /* size_t: index into choices */
    OPTION_TEXT    /* const char *, of argv */
} option_kind;

typedef struct option_spec {
    const char *name; /* without -- */
    char letter;      /* 0: none */
    option_kind kind;
    void *value;                /* of the kind's type; untouched when the option is not given */
    const char *meta;           /* what --help calls the value */
    const char *help;           /* one line, with the default in brackets */
    uint64_t low, high;         /* numbers and sizes */
    const char *const *choices; /* NULL-terminated */
    bool *given;                /* NULL, or becomes true */
} option_spec;

typedef struct option_page {
    const char *program; /* "epx-bench dispatch": how errors begin */
    const char *version; /* "0.1.0" */
    const char *usage;   /* lines before the table, may be NULL */
    const char *after;   /* lines after the table, may be NULL */
    const option_spec *specs;
    size_t count;
} option_page;

/* -1: go on; else the exit status: 0 after --help and --version, 2 after an error. argv[0] is the
 * program; words that are no options go to words[max_words], more of them are an error. */
int options_parse(const option_page *page, int argc, char **argv, const char **words,
                  size_t max_words, size_t *num_words_out);

void options_help(const option_page *page, FILE *out);

/* One error line and the hint at --help; returns 2. */
int options_wrong(const option_page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* TOOLS_COMMON_OPTIONS_H */
