/* Runs a fuzz target over every file of the directories given, and over the empty input, and prints
 * TAP. Each input lies in memory of exactly its size, so that a sanitizer sees the first byte read
 * too many. A crash ends the program with the input's name as the last line. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static int n_cases;

static bool read_file(const char *path, uint8_t **out_data, size_t *out_size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    struct stat info;
    bool read = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
    if (read) {
        *out_size = (size_t)info.st_size;
        *out_data = malloc(*out_size > 0 ? *out_size : 1);
        read = *out_data != NULL && fread(*out_data, 1, *out_size, file) == *out_size;
    }
    fclose(file);
    return read;
}

static void replay(const char *directory, const char *name)
{
    char path[4096];
    uint8_t *data = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    printf("# %s\n", name);
    fflush(stdout);
    n_cases++;
    if (!read_file(path, &data, &size)) {
        printf("not ok %d - cannot read %s\n", n_cases, path);
    } else {
        (void)LLVMFuzzerTestOneInput(data, size);
        printf("ok %d - %s\n", n_cases, name);
    }
    free(data);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay_directory(const char *directory)
{
    struct dirent **entries = NULL;
    int n = scandir(directory, &entries, is_visible, alphasort);
    if (n <= 0)
        printf("not ok %d - no input in %s\n", ++n_cases, directory);
    for (int i = 0; i < n; i++) {
        replay(directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    uint8_t *nothing = calloc(1, 1);
    (void)LLVMFuzzerTestOneInput(nothing, 0);
    free(nothing);
    printf("ok %d - the empty input\n", ++n_cases);
    for (int i = 1; i < argc; i++)
        replay_directory(argv[i]);
    printf("1..%d\n", n_cases);
    return EXIT_SUCCESS;
}
