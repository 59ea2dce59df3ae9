// SPDX-License-Identifier: MIT
/*
 * usage: triangle FILE.png SIZE FRAMES HUE [SECONDS]
 *
 * Draws a shaded triangle that turns, without a window, and reads each frame back. FRAMES are
 * drawn, and then more of the last one until SECONDS have passed; it is saved. Prints the name of
 * the renderer, and the frames per second.
 */
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char vertex_source[] =
	"attribute vec2 place; attribute vec3 paint; uniform float angle; varying vec3 color;"
	"void main() {"
	"	mat2 turn = mat2(cos(angle), sin(angle), -sin(angle), cos(angle));"
	"	color = paint; gl_Position = vec4(turn * place, 0.0, 1.0);"
	"}";
static const char fragment_source[] =
	"precision mediump float; varying vec3 color; uniform float hue;"
	"void main() { gl_FragColor = vec4(mix(color, color.brg, hue), 1.0); }";
static const float corners[] = {
	0.0f, 0.9f, 1, 0, 0, -0.8f, -0.5f, 0, 1, 0, 0.8f, -0.5f, 0, 0, 1,
};

static double seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "triangle: %s: EGL error 0x%x\n", what, eglGetError());
	exit(1);
}

static void open_surface(int size)
{
	static const EGLint wanted[] = { EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE,
					 EGL_OPENGL_ES2_BIT, EGL_RED_SIZE, 8, EGL_GREEN_SIZE, 8,
					 EGL_BLUE_SIZE, 8, EGL_ALPHA_SIZE, 8, EGL_NONE };
	static const EGLint version[] = { EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE };
	EGLint sizes[] = { EGL_WIDTH, size, EGL_HEIGHT, size, EGL_NONE };
	EGLDisplay display = eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA,
						   EGL_DEFAULT_DISPLAY, NULL);
	EGLContext context;
	EGLSurface surface;
	EGLConfig config;
	EGLint count;

	if (!eglInitialize(display, NULL, NULL))
		die("eglInitialize");
	eglBindAPI(EGL_OPENGL_ES_API);
	if (!eglChooseConfig(display, wanted, &config, 1, &count) || count < 1)
		die("eglChooseConfig");
	context = eglCreateContext(display, config, EGL_NO_CONTEXT, version);
	surface = eglCreatePbufferSurface(display, config, sizes);
	if (!eglMakeCurrent(display, surface, surface, context))
		die("eglMakeCurrent");
}

static GLuint compile(GLenum kind, const char *source)
{
	GLuint shader = glCreateShader(kind);
	GLint is_good;

	glShaderSource(shader, 1, &source, NULL);
	glCompileShader(shader);
	glGetShaderiv(shader, GL_COMPILE_STATUS, &is_good);
	if (!is_good)
		die("glCompileShader");
	return shader;
}

/* Returns the program, which has the triangle. */
static GLuint load(void)
{
	GLuint program = glCreateProgram(), buffer;

	glAttachShader(program, compile(GL_VERTEX_SHADER, vertex_source));
	glAttachShader(program, compile(GL_FRAGMENT_SHADER, fragment_source));
	glBindAttribLocation(program, 0, "place");
	glBindAttribLocation(program, 1, "paint");
	glLinkProgram(program);
	glUseProgram(program);
	glGenBuffers(1, &buffer);
	glBindBuffer(GL_ARRAY_BUFFER, buffer);
	glBufferData(GL_ARRAY_BUFFER, sizeof(corners), corners, GL_STATIC_DRAW);
	glVertexAttribPointer(0, 2, GL_FLOAT, 0, 20, (void *)0);
	glVertexAttribPointer(1, 3, GL_FLOAT, 0, 20, (void *)8);
	glEnableVertexAttribArray(0);
	glEnableVertexAttribArray(1);
	return program;
}

static void save(const char *path, int size, const unsigned char *pixels)
{
	png_image image = { .version = PNG_IMAGE_VERSION, .width = size, .height = size,
			    .format = PNG_FORMAT_RGBA };

	/* OpenGL's first row is the lowest. */
	if (!png_image_write_to_file(&image, path, 0, pixels, -4 * size, NULL)) {
		fprintf(stderr, "triangle: %s: %s\n", path, image.message);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int size = argc >= 5 ? atoi(argv[2]) : 0, frames = argc >= 5 ? atoi(argv[3]) : 0, done = 0;
	double limit = argc >= 6 ? atof(argv[5]) : 0, begin;
	unsigned char *pixels;
	GLuint program, error;

	if (size < 1 || size > 4096 || frames < 1) {
		fprintf(stderr, "usage: triangle FILE.png SIZE FRAMES HUE [SECONDS]\n");
		return 2;
	}
	open_surface(size);
	printf("GL_RENDERER: %s\n", glGetString(GL_RENDERER));
	fflush(stdout);
	pixels = malloc(4 * size * size);
	program = load();
	glUniform1f(glGetUniformLocation(program, "hue"), atof(argv[4]));
	glClearColor(0.1f, 0.1f, 0.2f, 1);
	begin = seconds();
	for (; done < frames || seconds() - begin < limit; done++) {
		glClear(GL_COLOR_BUFFER_BIT);
		glUniform1f(glGetUniformLocation(program, "angle"),
			    0.05f * (done < frames ? done : frames - 1));
		glDrawArrays(GL_TRIANGLES, 0, 3);
		glReadPixels(0, 0, size, size, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
	}
	printf("%.1f FPS\n", done / (seconds() - begin));
	save(argv[1], size, pixels);
	error = glGetError();
	if (error)
		fprintf(stderr, "triangle: OpenGL error 0x%x\n", error);
	return error ? 1 : 0;
}
