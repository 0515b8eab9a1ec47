/* Runs one target over the files of a directory: the corpus as an ordinary test. */

#include "fuzz.h"

#include "buffer.h"

#include <dirent.h>

static void replay(const char *directory, const char *name)
{
	_cleanup_(buffer_deinit) struct buffer path = { 0 };
	_cleanup_(buffer_deinit) struct buffer input = { 0 };
	char *space;
	FILE *file;
	size_t n;

	must(buffer_printf(&path, "%s/%s", directory, name) == 0);
	must(buffer_put_char(&path, '\0') == 0);
	file = fopen(buffer_data(&path), "re");
	must(file);
	do {
		must(buffer_reserve(&input, 65536, &space) == 0);
		n = fread(space, 1, 65536, file);
		buffer_added(&input, n);
	} while (n > 0);
	must(!ferror(file));
	fclose(file);
	LLVMFuzzerTestOneInput((const uint8_t *)buffer_data(&input), buffer_size(&input));
}

int main(int argc, char **argv)
{
	int n_files = 0;

	for (int i = 1; i < argc; i++) {
		DIR *directory = opendir(argv[i]);
		struct dirent *entry;

		if (!directory) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
		while ((entry = readdir(directory))) {
			if (entry->d_name[0] == '.')
				continue;
			replay(argv[i], entry->d_name);
			n_files++;
		}
		closedir(directory);
	}
	printf("%d files\n", n_files);
	return n_files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
