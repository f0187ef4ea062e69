#!/usr/bin/perl
# Serves one file, whole, to whoever asks: file_server.pl FILE PORT. With what the smallest Debian system has.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{PIPE} = 'IGNORE';  # of those who only knock
my ($path, $port) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 4, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    open(my $file, '<:raw', $path) or die "cannot read $path: $!";
    local $/;
    my $data = <$file>;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($data) . "\r\nConnection: close\r\n\r\n", $data;
    close($client);
}
