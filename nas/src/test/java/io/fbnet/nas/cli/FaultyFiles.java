package io.fbnet.nas.cli;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.AccessMode;
import java.nio.file.CopyOption;
import java.nio.file.DirectoryStream;
import java.nio.file.FileStore;
import java.nio.file.FileSystem;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystems;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.nio.file.StandardOpenOption;
import java.nio.file.WatchService;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.FileAttributeView;
import java.nio.file.attribute.UserPrincipalLookupService;
import java.nio.file.spi.FileSystemProvider;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;

/**
 * The machine's own files, with one operation that fails once. A process takes it for all its files
 * by {@code -Djava.nio.file.spi.DefaultFileSystemProvider}, so nothing of a run can pass it by.
 */
public final class FaultyFiles extends FileSystemProvider {
  /** What can fail. */
  enum Operation {
    OPEN,
    WRITE,
    FORCE,
    TRUNCATE,
    CLOSE,
    MOVE,
    DELETE,
    MAKE_FOLDER,
    OPEN_TO_READ,
    READ,
    LIST;

    boolean reads() {
      return compareTo(OPEN_TO_READ) >= 0;
    }
  }

  /** How it fails. */
  enum Fault {
    NO_SPACE("No space left on device"),
    BROKEN("Input/output error"),
    /** A write takes half of what it is given, as it may, and the next takes more. */
    SHORT(""),
    /** A write takes half of what it is given, and the next says that the disk is full. */
    TORN("No space left on device");

    final String message;

    Fault(String message) {
      this.message = message;
    }

    boolean isOfWritesAlone() {
      return this == SHORT || this == TORN;
    }
  }

  /** An operation that was asked for. */
  record Event(Operation operation, String path) {
    @Override
    public String toString() {
      return operation + " " + path;
    }
  }

  private final FileSystemProvider machine;
  private final Files files;
  private final List<Event> events = new ArrayList<>();
  private boolean counting;
  private boolean countsReads;
  private int victim;
  private Fault fault;
  private boolean full;

  /** What Java calls when it starts. */
  public FaultyFiles(FileSystemProvider machine) {
    this.machine = machine;
    files = new Files(machine.getFileSystem(URI.create("file:///")));
  }

  /** The one of this process, which must have been started so. */
  static FaultyFiles ofProcess() {
    return (FaultyFiles) FileSystems.getDefault().provider();
  }

  /**
   * Counts from now on, and makes one operation fail.
   *
   * @param reads whether it is reads that count; else all that changes something
   * @param nth which fails, from 1; 0 for none
   */
  synchronized void arm(boolean reads, int nth, Fault how) {
    events.clear();
    counting = true;
    countsReads = reads;
    victim = nth;
    fault = how;
    full = false;
  }

  /** Ends the counting; the operations since {@link #arm} in their order. */
  synchronized List<Event> disarm() {
    counting = false;
    full = false;
    return List.copyOf(events);
  }

  /** The fault of this operation, null for none. */
  synchronized Fault strikes(Operation operation, Path path) {
    // What the kernel tells of the machine is on no disk.
    if (!counting || operation.reads() != countsReads || path.startsWith("/proc")) {
      return null;
    }
    events.add(new Event(operation, path.toString()));
    if (full && operation == Operation.WRITE) {
      full = false;
      return Fault.NO_SPACE;
    }
    boolean struck = events.size() == victim;
    full |= struck && fault == Fault.TORN;
    return struck ? fault : null;
  }

  private void require(Operation operation, Path path) throws IOException {
    Fault now = strikes(operation, path);
    if (now != null) {
      throw new FileSystemException(path.toString(), null, now.message);
    }
  }

  private Path wrapped(Path path) {
    return path == null
        ? null
        : (Path)
            Proxy.newProxyInstance(
                FaultyFiles.class.getClassLoader(),
                new Class<?>[] {Path.class},
                (self, method, arguments) -> call(path, method, arguments));
  }

  /** A path answers as the machine's does, but is of this file system. */
  private Object call(Path path, Method method, Object[] arguments) throws Throwable {
    if (method.getName().equals("getFileSystem")) {
      return files;
    }
    Object[] bare = arguments == null ? new Object[0] : arguments.clone();
    for (int i = 0; i < bare.length; i++) {
      bare[i] = bare[i] instanceof Path other ? bare(other) : bare[i];
    }
    Object result;
    try {
      result = method.getName().equals("equals") ? path.equals(bare[0]) : method.invoke(path, bare);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
    return switch (result) {
      case Path other -> wrapped(other);
      case Iterator<?> iterator -> wrapped(path.iterator()).iterator();
      case null, default -> result;
    };
  }

  private List<Path> wrapped(Iterator<Path> paths) {
    List<Path> all = new ArrayList<>();
    paths.forEachRemaining(path -> all.add(wrapped(path)));
    return all;
  }

  private Path bare(Path path) {
    boolean ours = path != null && Proxy.isProxyClass(path.getClass());
    return ours ? files.machine.getPath(path.toString()) : path;
  }

  @Override
  public FileChannel newFileChannel(
      Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes)
      throws IOException {
    boolean writes =
        options.contains(StandardOpenOption.WRITE) || options.contains(StandardOpenOption.APPEND);
    require(writes ? Operation.OPEN : Operation.OPEN_TO_READ, path);
    return new FaultyChannel(
        this, machine.newFileChannel(bare(path), options, attributes), path, writes);
  }

  @Override
  public SeekableByteChannel newByteChannel(
      Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes)
      throws IOException {
    return newFileChannel(path, options, attributes);
  }

  @Override
  public DirectoryStream<Path> newDirectoryStream(
      Path folder, DirectoryStream.Filter<? super Path> filter) throws IOException {
    require(Operation.LIST, folder);
    DirectoryStream<Path> stream =
        machine.newDirectoryStream(bare(folder), path -> filter.accept(wrapped(path)));
    return new DirectoryStream<>() {
      @Override
      public Iterator<Path> iterator() {
        return StreamSupport.stream(stream.spliterator(), false)
            .map(FaultyFiles.this::wrapped)
            .iterator();
      }

      @Override
      public void close() throws IOException {
        stream.close();
      }
    };
  }

  @Override
  public void createDirectory(Path folder, FileAttribute<?>... attributes) throws IOException {
    require(Operation.MAKE_FOLDER, folder);
    machine.createDirectory(bare(folder), attributes);
  }

  @Override
  public void delete(Path path) throws IOException {
    require(Operation.DELETE, path);
    machine.delete(bare(path));
  }

  @Override
  public void move(Path from, Path to, CopyOption... options) throws IOException {
    require(Operation.MOVE, to);
    machine.move(bare(from), bare(to), options);
  }

  @Override
  public void copy(Path from, Path to, CopyOption... options) throws IOException {
    require(Operation.WRITE, to);
    machine.copy(bare(from), bare(to), options);
  }

  @Override
  public void createSymbolicLink(Path link, Path target, FileAttribute<?>... attributes)
      throws IOException {
    machine.createSymbolicLink(bare(link), bare(target), attributes);
  }

  @Override
  public Path readSymbolicLink(Path link) throws IOException {
    return wrapped(machine.readSymbolicLink(bare(link)));
  }

  @Override
  public String getScheme() {
    return machine.getScheme();
  }

  @Override
  public FileSystem newFileSystem(URI uri, Map<String, ?> environment) throws IOException {
    return machine.newFileSystem(uri, environment);
  }

  @Override
  public FileSystem getFileSystem(URI uri) {
    return files;
  }

  @Override
  public Path getPath(URI uri) {
    return wrapped(machine.getPath(uri));
  }

  @Override
  public boolean isSameFile(Path one, Path other) throws IOException {
    return machine.isSameFile(bare(one), bare(other));
  }

  @Override
  public boolean isHidden(Path path) throws IOException {
    return machine.isHidden(bare(path));
  }

  @Override
  public FileStore getFileStore(Path path) throws IOException {
    return machine.getFileStore(bare(path));
  }

  @Override
  public void checkAccess(Path path, AccessMode... modes) throws IOException {
    machine.checkAccess(bare(path), modes);
  }

  @Override
  public <V extends FileAttributeView> V getFileAttributeView(
      Path path, Class<V> type, LinkOption... options) {
    return machine.getFileAttributeView(bare(path), type, options);
  }

  @Override
  public <A extends BasicFileAttributes> A readAttributes(
      Path path, Class<A> type, LinkOption... options) throws IOException {
    return machine.readAttributes(bare(path), type, options);
  }

  @Override
  public Map<String, Object> readAttributes(Path path, String names, LinkOption... options)
      throws IOException {
    return machine.readAttributes(bare(path), names, options);
  }

  @Override
  public void setAttribute(Path path, String name, Object value, LinkOption... options)
      throws IOException {
    machine.setAttribute(bare(path), name, value, options);
  }

  /** The machine's file system with paths of ours. */
  private final class Files extends FileSystem {
    private final FileSystem machine;

    Files(FileSystem machine) {
      this.machine = machine;
    }

    @Override
    public FileSystemProvider provider() {
      return FaultyFiles.this;
    }

    @Override
    public Path getPath(String first, String... more) {
      return wrapped(machine.getPath(first, more));
    }

    @Override
    public Iterable<Path> getRootDirectories() {
      return wrapped(machine.getRootDirectories().iterator());
    }

    @Override
    public Iterable<FileStore> getFileStores() {
      return machine.getFileStores();
    }

    @Override
    public PathMatcher getPathMatcher(String pattern) {
      PathMatcher matcher = machine.getPathMatcher(pattern);
      return path -> matcher.matches(bare(path));
    }

    @Override
    public Set<String> supportedFileAttributeViews() {
      return machine.supportedFileAttributeViews();
    }

    @Override
    public UserPrincipalLookupService getUserPrincipalLookupService() {
      return machine.getUserPrincipalLookupService();
    }

    @Override
    public WatchService newWatchService() throws IOException {
      return machine.newWatchService();
    }

    @Override
    public String getSeparator() {
      return machine.getSeparator();
    }

    @Override
    public boolean isOpen() {
      return true;
    }

    @Override
    public boolean isReadOnly() {
      return machine.isReadOnly();
    }

    @Override
    public void close() {
      throw new UnsupportedOperationException();
    }
  }
}
