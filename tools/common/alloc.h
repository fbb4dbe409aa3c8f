/* alloc.h - memory for programs: zeroed, checked, and fatal when it runs out (exit status 3). */
#ifndef TOOLS_COMMON_ALLOC_H
#define TOOLS_COMMON_ALLOC_H

#include <stddef.h>

/* count x size zeroed bytes, never NULL. `what` names them if they do not exist. */
void *tool_alloc(const char *what, size_t count, size_t size);
/* A copy of text, never NULL. */
char *tool_copy(const char *text);

#endif /* TOOLS_COMMON_ALLOC_H */
